"""What make installs: of two builds of one engine the one that is there, and never both."""

import subprocess

import pytest
from processes import ROOT


@pytest.fixture
def make(tmp_path):
    def make(*arguments):
        return subprocess.run(
            ["make", *arguments, f"VENV={tmp_path}"], cwd=ROOT, capture_output=True, text=True
        )

    return make


@pytest.mark.parametrize(("there", "installs"), [(None, "cpu"), ("cpu", None), ("gpu", None)])
def test_the_extra_that_is_there_is_kept(make, tmp_path, there, installs):
    if there is not None:
        (tmp_path / f".installed-{there}").touch()
    planned = make("-n", "test").stdout
    assert "pytest" in planned
    assert ("install.sh" in planned) == (installs is not None)
    assert installs is None or f"requirements-{installs}.txt" in planned


def test_another_extra_is_refused_before_anything_is_installed(make, tmp_path):
    (tmp_path / ".installed-gpu").touch()
    refused = make("install", "EXTRA=cpu")
    assert refused.returncode == 2
    assert "has the other extra, which cannot be installed beside cpu" in refused.stderr
    assert [one.name for one in tmp_path.iterdir()] == [".installed-gpu"]
