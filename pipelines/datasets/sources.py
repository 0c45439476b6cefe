"""The files that a path names: one, those of a folder, or those that a pattern fits.

They are local or at a URI, and may be compressed, which a name's ending tells.
"""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

import pyarrow.fs as pafs

from pipelines.storage.errors import explain
from pipelines.storage.location import Location

FORMATS = "JSON lines, a JSON array of rows, CSV (*.csv) or Parquet"
CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}
_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")  # of what is read of a folder
_BUFFER = 1 << 16


@dataclass(frozen=True)
class Source:
    """A file. shown: as messages name it."""

    shown: str
    filesystem: pafs.FileSystem
    path: str

    @property
    def codec(self) -> str | None:
        return CODECS.get(PurePosixPath(self.path.lower()).suffix)

    @property
    def name(self) -> str:
        """In lower case, without the ending that tells how it is compressed."""
        name = PurePosixPath(self.path.lower())
        return name.stem if self.codec else name.name

    @contextmanager
    def opened(self) -> Iterator[io.BufferedReader]:
        """Its bytes from the beginning, decompressed; ValueError, one line, where reading fails."""
        with (
            _told(self.shown, self.filesystem),
            self.filesystem.open_input_stream(self.path, compression=self.codec) as stream,
        ):
            yield io.BufferedReader(stream, _BUFFER)

    @contextmanager
    def opened_anywhere(self) -> Iterator[object]:
        """The file as it lies, to be read at any place of it; ValueError as above."""
        with (
            _told(self.shown, self.filesystem),
            self.filesystem.open_input_file(self.path) as file,
        ):
            yield file


def files(path: str) -> list[Source]:
    """The files of a path, in the order of their names; ValueError where there is none.

    In a pattern * and ? stand for anything but a /, as does [...]; a folder's are those at any
    depth that end in a format's name, but for those that begin with a dot or an underscore.
    """
    shown, pattern = _pattern(path)
    location = Location.of(shown or "." if pattern else path)
    filesystem, base = location.filesystem, location.path
    with _told(path, filesystem):
        itself = f"{base}/{pattern}" if pattern else base
        kind = filesystem.get_file_info(itself).type
        if kind == pafs.FileType.File:
            return [Source(path, filesystem, itself)]
        if kind == pafs.FileType.Directory:
            shown, base = f"{path.rstrip('/')}/", itself
            found = [one for one in _within(filesystem, base) if _is_of_rows(one)]
            nothing = f"no file of this folder ends in {', '.join(_ENDINGS)}, compressed or not"
        elif pattern:
            found = [one for one in _within(filesystem, base) if _fits(one, pattern)]
            nothing = "no file fits this pattern"
        elif kind == pafs.FileType.NotFound:
            raise ValueError(f"{path}: there is no such file")
        else:
            raise ValueError(f"{path}: not a file; name one of {FORMATS}, a folder or a pattern")
    if not found:
        raise ValueError(f"{path}: {nothing}")
    return [Source(shown + one, filesystem, f"{base}/{one}") for one in sorted(found)]


def _pattern(path: str) -> tuple[str, str]:
    """The folder that a pattern begins with, and the rest; no rest where it is none."""
    wild = re.search(r"[*?\[]", path)
    if wild is None:
        return path, ""
    end = path.rfind("/", 0, wild.start()) + 1
    return path[:end], path[end:]


def _fits(path: str, pattern: str) -> bool:
    """As a shell has it: a pattern names no hidden file."""
    whole = PurePosixPath(path)
    deep = len(PurePosixPath(pattern).parts)
    return whole.match(pattern) and len(whole.parts) == deep and not whole.name.startswith(".")


def _within(filesystem: pafs.FileSystem, base: str) -> list[str]:
    """The files below a folder, by their paths from there."""
    listed = filesystem.get_file_info(pafs.FileSelector(base, recursive=True, allow_not_found=True))
    whole = (one.path for one in listed if one.type == pafs.FileType.File)
    return [path.removeprefix(base).lstrip("/") for path in whole]


def _is_of_rows(path: str) -> bool:
    name = path.lower()
    for ending in CODECS:
        name = name.removesuffix(ending)
    hidden = any(part.startswith((".", "_")) for part in path.split("/"))
    return name.endswith(_ENDINGS) and not hidden


@contextmanager
def _told(shown: str, filesystem: pafs.FileSystem) -> Iterator[None]:
    try:
        yield
    except ValueError:
        raise
    except Exception as error:  # each store fails in its own way
        reason = explain(error)
        if isinstance(error, OSError) and isinstance(filesystem, pafs.LocalFileSystem):
            reason = os.strerror(error.errno) if error.errno else str(error)
        elif reason is None and isinstance(error, OSError) and "stream" in str(error).lower():
            reason = str(error)  # a codec's
        if reason is None:
            raise
        raise ValueError(f"{shown}: it cannot be read ({' '.join(reason.split())})") from None
