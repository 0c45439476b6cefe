"""What an engine on CPUs takes of a node's memory, and whether that is free, before it starts.

On GPUs vLLM takes what engine.gpu_memory_utilization says, and refuses to start by itself.
"""

import math
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from pipelines.config import EngineConfig
from pipelines.method.tokenizer import read_settings
from pipelines.running import memory
from pipelines.running.process import began

_GIB = 2**30
# Of vLLM 0.32 on CPUs, measured with SmolLM2-135M: 690 MiB of the actor and 1,010 of a part's
# process, without weights and KV cache.
_ACTOR, _PART = 690 * 2**20, 1010 * 2**20
_COPIES = 4  # of a step's logits, in float32: as they come, and in EDT and the draw
_FLOATS = {"F64", "F32", "F16", "BF16"}  # vLLM loads these as engine.dtype
_INTS = defaultdict(lambda: 1, I64=8, I32=4, I16=2)  # bytes of quantized ones, which stay


@dataclass(frozen=True)
class Need:
    """Bytes that one engine takes."""

    weights: int
    kv_cache: int
    logits: int  # with the activations of a forward
    processes: int
    adapters: int = 0  # room for them, used or not

    @property
    def total(self) -> int:
        return sum(astuple(self))


def need(model_dir: Path, engine: EngineConfig, lora_rows: int = 0) -> Need:
    """Of an engine on CPUs, from the headers of its weights and the model's config.json.

    lora_rows: of vLLM's LoRA, the ranks of all slots together.
    """
    settings = read_settings(model_dir, "config.json", str(model_dir))
    if isinstance(text := settings.get("text_config"), dict):
        settings |= text
    size = 4 if engine.dtype == "float32" else 2  # of a float32 model, `auto` makes bfloat16
    parts = engine.tensor_parallel_size
    tensors = list(_tensors(model_dir))
    weights = sum(math.prod(one.shape) * one.bytes_each(size) for one in tensors)
    # Of every matrix, a target of the adapters or not, each slot has A and B; a part at most all.
    widths = [one.lora_width for one in tensors]
    if not any("lm_head" in one.name for one in tensors):  # tied weights, but a slot of its own
        widths.append(_size(settings, "vocab_size") + _size(settings, "hidden_size"))
    adapters = parts * lora_rows * sum(widths) * size
    processes = _ACTOR + parts * _PART
    if engine.kv_cache_gib is not None:
        kv_cache = int(parts * engine.kv_cache_gib * _GIB)
    else:  # a part fills up its share of its NUMA node's memory
        machine = min(psutil.virtual_memory().total // _numa_nodes(), memory.total())
        share = engine.gpu_memory_utilization * machine
        kv_cache = max(0, int(parts * (share - _PART) - weights - adapters))
    hidden = _size(settings, "hidden_size")
    inner = _size(settings, "intermediate_size") or 4 * hidden
    step = in_forward(engine, hidden, inner, _size(settings, "vocab_size"), size)
    return Need(weights, kv_cache, step, processes, adapters)


def in_forward(engine: EngineConfig, hidden: int, inner: int, vocab: int, size: int) -> int:
    """Bytes of logits and activations. hidden, inner: widths of the model and of its MLP; size: of
    a number."""
    logits = _COPIES * 4 * engine.max_num_seqs * vocab
    return logits + engine.max_num_batched_tokens * (4 * hidden + 2 * inner) * size


def reserve(
    wanted: Need,
    engine: EngineConfig,
    free: Callable[[], int] = memory.free,
    patience: float = 15.0,
) -> None:
    """Sets memory aside for the engine that this process is about to start; ValueError where there
    is too little.

    Engines of a node start together, of several runs too, and take their memory by and by: so each
    leaves a note of what it takes, and counts what the others' notes say and they have not taken.
    patience: seconds to wait for memory that what ended just now has not given back yet.
    """
    place = Path(tempfile.gettempdir(), f"selfcal-engines-{os.getuid()}")
    place.mkdir(exist_ok=True)
    deadline = time.monotonic() + patience
    while True:
        with FileLock(place / "lock"):
            others = list(_to_come(place))
            spare = free() + psutil.Process().memory_info().rss - sum(others)
            if wanted.total <= spare:
                own = psutil.Process()
                for earlier in place.glob(f"{own.pid} *"):
                    earlier.unlink()
                (place / f"{own.pid} {began(own.pid)} {wanted.total}").touch()
                return
        if time.monotonic() >= deadline:
            raise ValueError(refusal(wanted, engine, spare, len(others)))
        time.sleep(1)


def refusal(wanted: Need, engine: EngineConfig, spare: int, others: int) -> str:
    """A line: what the engine takes, what is there, and the keys that change it."""
    keys = []
    if engine.kv_cache_gib is not None and engine.kv_cache_gib > 1:
        keys.append(f"engine.kv_cache_gib ({engine.kv_cache_gib:g})")
    if wanted.logits > wanted.total / 10:
        keys.append(f"engine.max_num_seqs ({engine.max_num_seqs})")
    if engine.most > 1:
        name = "max_count" if engine.max_count else "count"
        keys.append(f"engine.{name} ({engine.most})")
    advice = [f"lower {', '.join(keys)}"] if keys else []
    if engine.kv_cache_gib is None:
        advice.append(
            "set engine.kv_cache_gib, without which vLLM takes engine.gpu_memory_utilization "
            f"({engine.gpu_memory_utilization:g}) of the machine"
        )
    if engine.dtype == "float32" and wanted.weights > wanted.total / 10:
        advice.append("set engine.dtype to bfloat16, which halves the weights")
    if wanted.adapters > wanted.total / 10:
        advice.append("set engine.adapter to merged")
    advice.append("free some memory")
    parts = {
        "weights": wanted.weights,
        "KV cache": wanted.kv_cache,
        "logits and activations": wanted.logits,
        "processes": wanted.processes,
    }
    if wanted.adapters:
        parts["adapters"] = wanted.adapters
    takes = ", ".join(f"{name} {size / _GIB:.1f}" for name, size in parts.items())
    beside = f" beside {others} more that run here" if others else ""
    return (
        f"engine: one takes {wanted.total / _GIB:.1f} GiB ({takes}), and "
        f"{max(0, spare) / _GIB:.1f} GiB are free{beside}; {', or '.join(advice)}"
    )


@dataclass(frozen=True)
class _Tensor:
    name: str
    kind: str  # safetensors' name of its type
    shape: tuple[int, ...]

    def bytes_each(self, size: int) -> int:
        """size: of engine.dtype."""
        return size if self.kind in _FLOATS else _INTS[self.kind]

    @property
    def lora_width(self) -> int:
        """Numbers of A and B together, a rank: in + out, for each expert that it holds."""
        return math.prod(self.shape[:-2]) * sum(self.shape[-2:]) if len(self.shape) > 1 else 0


def _tensors(model_dir: Path) -> Iterator[_Tensor]:
    from safetensors import SafetensorError, safe_open

    index = read_settings(model_dir, "model.safetensors.index.json", str(model_dir))
    everything = {file.name for file in model_dir.glob("*.safetensors")}
    # Some publish the same weights in files for another library, too.
    for name in set(index.get("weight_map", {}).values()) or everything:
        try:
            with safe_open(model_dir / name, "numpy") as tensors:
                for key in tensors.keys():  # noqa: SIM118
                    one = tensors.get_slice(key)
                    yield _Tensor(key, one.get_dtype(), tuple(one.get_shape()))
        except (SafetensorError, FileNotFoundError) as error:
            raise ValueError(
                f"model.source: {model_dir / name} is not whole ({error}); fetch it anew"
            ) from None


def _size(settings: dict[str, Any], key: str) -> int:
    """The largest where layers differ; 0 of what is no number, for this is an estimate."""
    found = settings.get(key)
    sizes = found if isinstance(found, list) else [found]
    return max((one for one in sizes if isinstance(one, int)), default=0)


def _numa_nodes() -> int:
    return len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) or 1


def _to_come(place: Path) -> Iterator[int]:
    """Of each other engine of this node, the bytes that it will still take."""
    for note in place.glob("* * *"):
        pid, started, total = note.name.split()
        try:
            process = psutil.Process(int(pid))
            if str(began(process.pid)) != started:
                raise psutil.NoSuchProcess(process.pid)
            family = [process, *process.children(recursive=True)]
            taken = sum(one.memory_info().rss for one in family)
        except psutil.NoSuchProcess:
            note.unlink()
            continue
        if process.pid != os.getpid():
            yield max(0, int(total) - taken)
