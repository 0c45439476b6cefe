"""Whole files or none, over local paths and file URIs."""

import errno
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import FileSystem

from pipelines.storage.errors import explain
from pipelines.storage.location import Location, git_commit


def test_text_is_whole_or_not_there(tmp_path, monkeypatch):
    place = Location.of(str(tmp_path)) / "deep" / "file.json"
    place.write_json({"a": 1})

    class Failing:
        def write(self, data):
            raise OSError("disk full")

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return False

    class FailingFilesystem:
        def create_dir(self, path, recursive):
            pass

        def open_output_stream(self, path):
            return Failing()

    with pytest.raises(OSError, match="disk full"):
        Location(place.uri, FailingFilesystem(), place.path).write_text("half")
    assert place.read_json() == {"a": 1}
    assert [one.name for one in (tmp_path / "deep").iterdir()] == ["file.json"]


@pytest.mark.parametrize("refused", [None, errno.EPERM])
def test_a_file_is_created_whole_once(tmp_path, monkeypatch, refused):
    """Also where a file system has no links."""

    def link(source, target):
        raise OSError(refused, os.strerror(refused))

    if refused is not None:
        monkeypatch.setattr(os, "link", link)
    place = Location.of(str(tmp_path)) / "deep" / "file"
    assert place.create_text("first")
    assert not place.create_text("second")
    assert place.read_text() == "first"
    assert place.parent.names() == ["file"]


def test_a_full_disk_leaves_no_half_of_a_file_that_is_created(tmp_path, monkeypatch):
    def link(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(OSError, match="No space left"):
        (Location.of(str(tmp_path)) / "file").create_text("text")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_local_uris(tmp_path, prefix):
    place = Location.of(f"{prefix}{tmp_path}/x/")
    assert not place.exists()
    place.make_dir()
    assert place.exists()
    assert (place / "y").name == "y"


@pytest.mark.parametrize("uri", ["nope://bucket/x", "s4://x"])
def test_unknown_schemes(uri):
    with pytest.raises(ValueError, match=uri):
        Location.of(uri)


NOBODY = "gs://anonymous@bucket/x?scheme=http&endpoint_override=localhost:1"


def test_google_s_store_gives_up_soon_and_is_one_line():
    own_limit = Location.of(f"{NOBODY}&retry_limit_seconds=1")
    with pytest.raises(OSError, match="Retry policy exhausted") as failed:
        own_limit.exists()
    assert "Google Cloud Storage does not answer" in str(explain(failed.value))
    bounded, _ = FileSystem.from_uri(f"{NOBODY}&retry_limit_seconds=15")
    assert Location.of(NOBODY).filesystem == bounded != own_limit.filesystem
    assert Location.of("gs://bucket/x").path == "bucket/x"


def test_azure_s_store_is_one_line_and_a_bad_file_is_none_of_storage_s():
    says = "failed: Azure::Core::Credentials::AuthenticationException: Failed to get token"
    assert "Azure's storage does not answer" in str(explain(pa.ArrowException(says)))
    assert explain(pa.ArrowInvalid("Azure::Core")) is None


def test_tables_are_read_by_prefix_in_the_order_of_their_names(tmp_path):
    for name, value in (("a-2", 2), ("a-1", 1), ("b-1", 9)):
        pq.write_table(pa.table({"x": [value], "y": [0]}), tmp_path / f"{name}.parquet")
    (tmp_path / "_MANIFEST.json").write_text("{}")
    table = Location.of(str(tmp_path)).read_table("a-", ["x"])
    assert table.to_pydict() == {"x": [1, 2]}


def test_a_directory_that_is_not_there_yet_has_nothing(tmp_path):
    """As on an object store, where one is not made before something lies in it."""
    place = Location.of(str(tmp_path / "none"))
    assert place.names() == []
    with pytest.raises(ValueError, match="no Parquet file is there"):
        place.read_table()


def test_copies_of_directories(tmp_path):
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_text("text")
    place = Location.of(str(tmp_path / "stored"))
    place.upload(source)
    place.download(tmp_path / "back")
    assert (tmp_path / "back" / "sub" / "file").read_text() == "text"
    place.delete()
    assert not place.exists()
    place.delete()  # deleting nothing is fine


def test_git_commit_is_a_hash_or_nothing():
    commit = git_commit()
    assert commit is None or len(commit) == 40
