"""Commands end with one line and leave nothing where config, data or root are wrong."""

import errno
import subprocess
import sys

import pytest
import yaml
from own_files import BASE
from processes import ROOT

from jobs import cli, run


@pytest.mark.parametrize("root", ["/proc/x", "/proc", "/dev/null/x", "file", "file/x", "nowhere"])
def test_a_root_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys, root):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone" / "x")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(BASE | {"root": root}))
    assert run.main(["--config", "config.yaml", "--until", "queries"]) in (1, 2)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert root in error
    assert "set another" in error
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.yaml", "file", "nowhere"]
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("root", "says"),
    [
        ("{0}/file/root", "error: {0}/file/root: a part of the path is a file; set another root;"),
        ("{0}/root", "error: {0}/file/x: a part of the path is a file; set another path;"),
        ("s3://bucket/root", "error: {0}/file/x: a part of the path is a file; set another path;"),
    ],
)
def test_what_failed_is_named_and_only_a_root_s_failure_wants_another_root(
    tmp_path, capsys, root, says
):
    (tmp_path / "file").touch()
    failing = tmp_path / "file" / ("root/x" if "file" in root else "x")
    assert cli.explained(root.format(tmp_path), lambda: failing.write_text("text")) == 1
    assert capsys.readouterr().err.startswith(says.format(tmp_path))


def test_what_ray_data_says_of_a_failure_is_not_where_it_was(capsys):
    """It appends its advice to an error's arguments, of which the last is a name."""

    def failing():
        raise OSError(errno.ENOSPC, "No space left on device", "Failed to write.\nTo retry, ...")

    assert cli.explained("the/root", failing) == 1
    assert capsys.readouterr().err.startswith("error: the/root: the disk is full; free some space")


@pytest.mark.process
@pytest.mark.parametrize(
    "change", ["sampling.temperature=1e400", "root=/proc/x", "data.train.0.path=f"]
)
def test_a_process_ends_with_one_line(tmp_path, change):
    (tmp_path / "f").write_bytes(b'{"question": "Malm\xf6", "answer": "a"}')
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump(
            BASE
            | {"root": str(tmp_path / "root"), "data": {"train": [{"name": "jsonl", "path": "f"}]}}
            if change.startswith("data")
            else BASE
        )
    )
    command = [sys.executable, "-m", "jobs.run", "--config", str(tmp_path / "config.yaml")]
    change = change.replace("=f", f"={tmp_path}/f")
    done = subprocess.run(
        [*command, "--until", "queries", "--set", change],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert not (tmp_path / "root").exists()
