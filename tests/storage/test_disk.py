"""A disk that is full, read-only or not ours: one line, nothing half written, a rerun completes.

The disk is a tmpfs that only the run's own processes see: a mount namespace where they are root.
"""

import os
import shutil
import subprocess

import pytest
from labeling import QUERIES, command
from processes import ROOT

from pipelines.storage.location import Location

IN_A_NAMESPACE = ["unshare", "--map-root-user", "--mount"]

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        not shutil.which("unshare") or subprocess.run([*IN_A_NAMESPACE, "true"]).returncode != 0,
        reason="this machine has no user namespaces",
    ),
]


def run(script, root, *more):
    """Runs a shell script in a namespace; its $0 is the root, and "$@" labels with no model."""
    return subprocess.run(
        [*IN_A_NAMESPACE, "sh", "-uc", script, root, *command(root, *more)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ('mount -t tmpfs -o size=4k none "$0"; exec "$@"', "the disk is full; free some space"),
        ('mount -t tmpfs -o ro none "$0"; exec "$@"', "the disk is read-only; set another root"),
        (
            'chmod a-w "$0"; exec setpriv --bounding-set=-dac_override "$@"',
            "this user may not write there; set another root",
        ),
        ('rmdir "$0"; touch "$0"; exec "$@"', "a part of the path is a file; set another root"),
    ],
)
def test_a_root_that_cannot_be_written_is_one_line(tmp_path, script, says):
    (tmp_path / "root").mkdir()
    done = run(script, tmp_path / "root", "--until", "queries")
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"error: {tmp_path}/root: {says}")
    assert "Traceback" not in done.stderr


FILLS = """
mount -t tmpfs -o size=100k none "$0"
"$@"; echo "first: $?"
cp -a "$0" "$0.first"
mount -o remount,size=64m "$0"
"$@"; echo "second: $?"
cp -a "$0" "$0.second"
"""


def test_a_disk_that_fills_up_amid_labels_is_one_line_and_a_rerun_completes(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    done = run(FILLS, root)
    assert "first: 1" in done.stdout
    assert "second: 0" in done.stdout
    assert f"error: {root}: the disk is full; free some space; then" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (before,), (after,) = tmp_path.glob("root.first/label-*"), tmp_path.glob("root.second/label-*")
    assert not (before / "_MANIFEST.json").exists()
    assert (after / "_MANIFEST.json").exists()
    rows = Location.of(str(after)).read_table()
    assert len(set(rows["query_id"].to_pylist())) == len(rows) == QUERIES
    recorded = [one.stem for one in before.glob("_rows/*.parquet") if ".pending" not in one.name]
    assert recorded
    for name in recorded:  # what was finished is what stands there still
        assert (after / f"{name}-0.parquet").read_bytes() == (
            before / f"{name}-0.parquet"
        ).read_bytes()
