"""What an installation takes: no compiler, and nothing that only another package asked for."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT

pytestmark = pytest.mark.process

PURE_SOURCES = "deepspeed"  # has no wheels; without DS_BUILD_OPS it compiles nothing


def locked(extra):
    lines = (ROOT / f"cluster/requirements-{extra}.txt").read_text().splitlines()
    return dict(re.fullmatch(r"([\w.-]+)==(\S+)", line).groups() for line in lines if line)


@pytest.mark.parametrize("extra", ["cpu", "gpu"])
def test_the_lock_leaves_out_what_nothing_here_needs(extra):
    assert not {"llm", "llama-cpp-python", "torchvision", "torchaudio"} & locked(extra).keys()


@pytest.mark.parametrize("python", ["3.11", "3.12"])
@pytest.mark.parametrize("extra", ["cpu", "gpu"])
def test_every_package_of_the_lock_has_a_wheel(extra, python, tmp_path):
    """By uv, which looks them up for Linux with glibc 2.34 on x86-64; torch's CPU build is a wheel
    on an index of its own."""
    pins = [f"{name}=={v}" for name, v in locked(extra).items() if not v.endswith("+cpu")]
    (tmp_path / "pins.txt").write_text("\n".join(pins))
    command = [Path(sys.executable).with_name("uv"), "pip", "compile", "-q", "--no-deps"]
    command += ["--only-binary", ":all:", "--no-binary", PURE_SOURCES]
    command += ["--python-version", python, "--python-platform", "x86_64-manylinux_2_34"]
    done = subprocess.run(
        [*command, tmp_path / "pins.txt"], capture_output=True, text=True,
        env=os.environ | {"UV_HTTP_RETRIES": "10"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
