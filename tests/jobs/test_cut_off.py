"""A host that is cut off from the others while it labels, and lives on."""

import os
import shutil
import subprocess
import sys

import pytest
from labeling import rows
from processes import ROOT

pytestmark = [pytest.mark.process, pytest.mark.long]

IN_NAMESPACES = ["unshare", "--map-root-user", "--mount", "--net", "--pid", "--fork",
                 "--mount-proc", "--kill-child"]  # fmt: skip


@pytest.mark.skipif(
    not shutil.which("ip")
    or not shutil.which("unshare")
    or subprocess.run([*IN_NAMESPACES, "true"]).returncode != 0,
    reason="this machine has no user namespaces",
)
def test_its_queries_are_labeled_by_others_once_and_the_same(tmp_path):
    done = subprocess.run(
        [*IN_NAMESPACES, sys.executable, "tests/helpers/cut_off.py", tmp_path],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "has been marked dead" in done.stdout + done.stderr
    assert rows(tmp_path / "disturbed").equals(rows(tmp_path / "quiet"))
