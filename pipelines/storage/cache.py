"""A node's copies of models: $SELFCAL_CACHE or ~/.cache/selfcal, each whole or not at all.

A copy's name says which source it is of and what the source held: an artifact that is made anew
lies at the URI of the one before.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.fs as pafs

from pipelines.storage.location import Location


def content(source: Location) -> str:
    """Of what a directory at a URI holds, by one listing: names, sizes and what tells one writing
    from another. ValueError where it holds nothing."""
    files = _etags(source) if isinstance(source.filesystem, pafs.PyFileSystem) else _times(source)
    if not files:
        raise ValueError(f"{source.uri}: no files are there")
    return _short("\n".join(sorted(files)))


def _etags(source: Location) -> list[str]:
    """Of a store that s3fs opens, which pyarrow asks no ETag of."""
    listed = source.filesystem.handler.fs.find(source.path, detail=True)
    return [
        f"{path.removeprefix(source.path)} {info['size']} "
        f"{info.get('ETag') or info.get('LastModified')}"
        for path, info in listed.items()
    ]


def _times(source: Location) -> list[str]:
    everything = pafs.FileSelector(source.path, allow_not_found=True, recursive=True)
    return [
        f"{info.path.removeprefix(source.path)} {info.size} {info.mtime_ns}"
        for info in source.filesystem.get_file_info(everything)
        if info.is_file
    ]


def place(source: str, held: str) -> Path:
    """Where the copy lies, or will lie, of a source that holds `held` (of `content`)."""
    return _models() / f"{_name(source)}-{held}"


def newest(source: str) -> Path | None:
    """The copy that was made last, whatever the source holds by now; None where there is none."""
    copies = _models().glob(f"{_name(source)}-*")
    return max(copies, key=lambda copy: copy.stat().st_mtime_ns, default=None)


def made(final: Path, make: Callable[[Path], None]) -> Path:
    """Made once a node: of several engines that start together, one makes it and others wait."""
    from filelock import FileLock

    if final.is_dir():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(final.parent.parent / f"{final.name}.lock"):
        if final.is_dir():
            return final
        part = final.with_name(f".{final.name}")
        shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
        part.mkdir()
        try:
            make(part)
            part.rename(final)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return final


def _models() -> Path:
    return Path(os.environ.get("SELFCAL_CACHE", "~/.cache/selfcal")).expanduser() / "models"


def _name(source: str) -> str:
    readable = re.sub(r"\W+", "-", source).strip("-")[-60:]
    return f"{readable}-{_short(source)}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
