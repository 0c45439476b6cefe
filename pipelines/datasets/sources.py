"""The files that a path names: one, those of a folder, or those that a pattern fits.

They are local or at a URI, and may be compressed, which a name's ending tells.
"""

import hashlib
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

import pyarrow.fs as pafs

from pipelines.storage.errors import explain
from pipelines.storage.location import Location

FORMATS = "JSON lines, a JSON array of rows, CSV (*.csv) or Parquet"
CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}
_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")  # of what is read of a folder
_WILD = re.compile(r"[*?\[]")
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


def digest(path: str) -> str:
    """Of what a path's files hold, in the order of their names: of their bytes where they are on
    this machine; of those at a URI, which are not read for it, of what their store says of them.

    ValueError as of `files`.
    """
    whole = hashlib.sha256()
    for source in files(path):
        with _told(source.shown, source.filesystem):
            whole.update(_content(source).encode())
    return whole.hexdigest()


def _content(source: Source) -> str:
    if isinstance(source.filesystem, pafs.LocalFileSystem):
        with open(source.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if isinstance(source.filesystem, pafs.PyFileSystem):  # s3fs, which pyarrow asks no ETag of
        info = source.filesystem.handler.fs.info(source.path)
        return f"{info['size']} {info.get('ETag') or info.get('LastModified')}"
    info = source.filesystem.get_file_info(source.path)
    return f"{info.size} {info.mtime_ns}"


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
            found = [one for one in _below(filesystem, base) if _is_of_rows(one.base_name)]
            nothing = f"no file of this folder ends in {', '.join(_ENDINGS)}, compressed or not"
        elif pattern:
            fits = _fitting(filesystem, base, pattern.split("/"))
            found = [one for one in fits if one.type == pafs.FileType.File]
            folders = f", but folders do; name their files, as {path}/*" if fits else ""
            nothing = f"no file fits this pattern{folders}"
        elif kind == pafs.FileType.NotFound:
            raise ValueError(f"{path}: there is no such file")
        else:
            raise ValueError(f"{path}: not a file; name one of {FORMATS}, a folder or a pattern")
    if not found:
        raise ValueError(f"{path}: {nothing}")
    paths = sorted(one.path for one in found)
    return [Source(shown + one.removeprefix(base).lstrip("/"), filesystem, one) for one in paths]


def _pattern(path: str) -> tuple[str, str]:
    """The folder that a pattern begins with, and the rest; no rest where it is none."""
    wild = _WILD.search(path)
    if wild is None:
        return path, ""
    end = path.rfind("/", 0, wild.start()) + 1
    if path[:end].endswith("://"):
        raise ValueError(f"{path}: a bucket's name takes no pattern")
    if "**" in path:
        raise ValueError(
            f"{path}: no pattern has a **; name the folder, whose files are read at any depth"
        )
    return path[:end], path[end:]


def _fitting(filesystem: pafs.FileSystem, folder: str, parts: Sequence[str]) -> list[pafs.FileInfo]:
    """What fits a pattern, level by level, as a shell has it: * and ? begin no hidden name."""
    part, *rest = parts
    if _WILD.search(part):
        listed = filesystem.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
        named = [one for one in listed if part == one.base_name or fnmatchcase(one.base_name, part)]
        fits = [one for one in named if part[0] == "." or one.base_name[0] != "."]
    else:
        fits = [filesystem.get_file_info(f"{folder}/{part}")]
    if not rest:
        return [one for one in fits if one.type != pafs.FileType.NotFound]
    folders = [one.path for one in fits if one.type == pafs.FileType.Directory]
    return [deeper for one in folders for deeper in _fitting(filesystem, one, rest)]


def _below(
    filesystem: pafs.FileSystem, folder: str, above: tuple[str, ...] = ()
) -> Iterator[pafs.FileInfo]:
    """A folder's files at any depth, but for hidden ones; no link leads back to a folder above."""
    local = isinstance(filesystem, pafs.LocalFileSystem)
    real = os.path.realpath(folder) if local else folder
    if real in above:
        return
    for one in filesystem.get_file_info(pafs.FileSelector(folder, allow_not_found=True)):
        if one.base_name.startswith((".", "_")):
            continue
        if one.type == pafs.FileType.File:
            yield one
        elif one.type == pafs.FileType.Directory:
            yield from _below(filesystem, one.path, (*above, real))


def _is_of_rows(name: str) -> bool:
    name = name.lower()
    for ending in CODECS:
        name = name.removesuffix(ending)
    return name.endswith(_ENDINGS)


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
