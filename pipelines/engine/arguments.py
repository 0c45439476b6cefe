"""vLLM's arguments for a config, and the environment that it reads when it starts."""

import pipelines.engine.environment  # noqa: F401

# isort: split
import json
import os
import subprocess
import sysconfig
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args

import numpy as np
from vllm.config.lora import MaxLoRARanks
from vllm.platforms import current_platform

from pipelines.config import EngineConfig
from pipelines.engine.edt_plugin import WARM_UP, EDTLogitsProcessor
from pipelines.engine.ray_executor import RayExecutor
from pipelines.running.cluster import MALLOC


def engine_arguments(
    model_dir: str, engine: EngineConfig, adapters: Iterable[Path] = ()
) -> dict[str, Any]:
    """vLLM's arguments for a config. Sets the environment that it reads when it starts, too.

    adapters: directories in PEFT form, each of which requests may name.
    """
    optional = adapter_arguments([*adapters])
    if current_platform.is_cpu():
        optional |= _prepare_cpu(engine)
    if engine.tensor_parallel_size > 1:
        # A worker of Ray's on each GPU of the engine's placement group, on whatever nodes those
        # are. vLLM's CPU backend knows processes of one machine alone.
        on_gpus = engine.gpus and current_platform.ray_device_key
        optional["distributed_executor_backend"] = RayExecutor if on_gpus else "mp"
    if engine.batch_invariant:
        os.environ["VLLM_BATCH_INVARIANT"] = "1"
    if engine.block_size is not None:
        optional["block_size"] = engine.block_size
    return {
        "model": model_dir,
        "dtype": engine.dtype,
        "max_model_len": engine.max_model_len,
        "max_num_seqs": engine.max_num_seqs,
        "max_num_batched_tokens": engine.max_num_batched_tokens,
        # vLLM takes it of the whole GPU, of which an engine may have a share.
        "gpu_memory_utilization": engine.gpu_memory_utilization * min(1, engine.gpus or 1),
        "tensor_parallel_size": engine.tensor_parallel_size,
        "enforce_eager": engine.enforce_eager,
        "trust_remote_code": engine.trust_remote_code,
        "load_format": "safetensors",
        "use_tqdm_on_load": False,
        "enable_prefix_caching": True,
        "disable_log_stats": True,
        "additional_config": {WARM_UP: True},
        "logits_processors": None if _is_installed_plugin() else [EDTLogitsProcessor],
        **optional,
    }


def adapter_arguments(adapters: list[Path]) -> dict[str, Any]:
    """Those of its LoRA: none without adapters.

    ValueError where an adapter's rank is larger than any that vLLM takes."""
    if not adapters:
        return {}
    rank = max(json.loads((one / "adapter_config.json").read_text())["r"] for one in adapters)
    ranks = [one for one in get_args(MaxLoRARanks) if one >= rank]
    if not ranks:
        raise ValueError(
            f"engine.adapter: vLLM takes no adapter of rank {rank}, {max(get_args(MaxLoRARanks))} "
            "at most; set it to merged, or lower train.lora.r"
        )
    # vLLM's CPU kernels take the last slot for requests without an adapter: it stays empty.
    slots = len(adapters) + current_platform.is_cpu()
    return {"enable_lora": True, "max_lora_rank": min(ranks), "max_loras": slots}


def _prepare_cpu(engine: EngineConfig) -> dict[str, Any]:
    """Environment and arguments for vLLM's CPU backend, whose defaults are for large servers.

    It runs the model in a process of its own and keeps one core back for a scheduler that
    spins while it waits: on two cores that is half the machine (230 against 390 tokens/s).
    One process does both here, on all threads; tensor parallelism needs a process a part.
    """
    arguments: dict[str, Any] = {}
    if engine.kv_cache_gib is not None:
        os.environ.pop("VLLM_CPU_KVCACHE_SPACE", None)  # it would stand over the argument
        arguments["kv_cache_memory_bytes"] = int(engine.kv_cache_gib * 2**30)
    if not _compiles():
        if not engine.enforce_eager:
            raise ValueError(
                "engine.enforce_eager: set it to true, or install a C++ compiler (g++, or what "
                "$CXX names) and Python's headers: none here works"
            )
        # EDT's passes and a helper of vLLM's are compiled even then; without, they are slower.
        os.environ["TORCHDYNAMO_DISABLE"] = "1"
    os.environ.setdefault("GLIBC_TUNABLES", MALLOC)
    if (parts := engine.tensor_parallel_size) > 1:
        # vLLM would give each part a NUMA node, and refuses to start where there are fewer.
        shares = np.array_split(sorted(os.sched_getaffinity(0))[: engine.threads], parts)
        bind = "|".join(",".join(map(str, share)) for share in shares)
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", bind)
        return arguments
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["OMP_NUM_THREADS"] = str(
        engine.threads or len(os.sched_getaffinity(0))
    )  # Ray sets it to 1
    return arguments | {"distributed_executor_backend": "uni"}


def _compiles() -> bool:
    """Whether there is a C++ compiler that works, with Python's headers: torch wants both."""
    headers = sysconfig.get_path("include")
    command = [os.environ.get("CXX", "g++"), "-x", "c++", "-fsyntax-only", "-I", headers, "-"]
    code = b"#include <Python.h>\n#include <cmath>\n"
    try:
        return not subprocess.run(command, input=code, capture_output=True).returncode
    except OSError:
        return False


def _is_installed_plugin() -> bool:
    """vLLM loads the class by itself where the project is installed; twice would sample twice."""
    return any(
        point.value == f"{EDTLogitsProcessor.__module__}:{EDTLogitsProcessor.__name__}"
        for point in entry_points(group="vllm.logits_processors")
    )
