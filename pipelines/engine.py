"""vLLM behind the Engine protocol: a session a sample.

Only edt_plugin.py and ray_executor.py import vllm, too.
"""

import asyncio
import atexit
import logging
import os
import subprocess
import uuid
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from importlib.metadata import entry_points
from typing import Any, Self

# Read when vllm is imported, here and in the process that it starts.
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
os.environ.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")
# vLLM would fork its engine where it sees no sign of CUDA in this process, but to have asked how
# many GPUs there are is enough for CUDA to refuse a fork.
os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")

import numpy as np
from pydantic import ValidationError
from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.engine.protocol import StreamingInput
from vllm.inputs import tokens_input
from vllm.outputs import RequestOutput
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from pipelines.cluster import MALLOC
from pipelines.config import ConfidenceConfig, Config, EngineConfig, SamplingConfig
from pipelines.edt_plugin import LOG_PROBABILITIES, WARM_UP, EDTLogitsProcessor
from pipelines.engine_protocol import Generated, Scored
from pipelines.models import fetch
from pipelines.placement import where_parts_go
from pipelines.prompts import ConfidenceKind, Prompts, confidence
from pipelines.ray_executor import RayExecutor

_NEVER = 2**31 - 1  # tokens between the reports of a request: only its first and its end


class VLLMEngine:
    """vLLM's AsyncLLM. It starts a process: scripts need `if __name__ == "__main__"`.

    ValueError where vLLM does not start with this config on this model and machine.
    """

    def __init__(
        self,
        model_dir: str,
        engine: EngineConfig,
        sampling: SamplingConfig,
        scoring: ConfidenceConfig,
    ):
        self._sampling = sampling
        self._kind = scoring.kind
        try:
            self._llm = AsyncLLM.from_engine_args(
                AsyncEngineArgs(
                    **engine_arguments(model_dir, engine),
                    # What is reported is normalized by the plugin, in the rows that ask for it.
                    logprobs_mode="processed_logits",
                )
            )
        except ValidationError as error:  # what vLLM's config refuses
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(f"engine: vLLM does not start: {message}") from None
        except RuntimeError as error:
            if not str(error).startswith("Engine core initialization failed"):
                raise
            raise ValueError("engine: vLLM does not start; its process says why above") from None
        # It reports an engine's end at each exit, too. An engine that fails says why in its own
        # process. Only here: an engine that starts sets all of vLLM's loggers anew.
        logging.getLogger("vllm.v1.engine.async_llm").setLevel(logging.CRITICAL)
        self.prompts = Prompts.from_tokenizer(self._llm.get_tokenizer(), scoring.question)
        # A process that ends takes its children with it first: vLLM would report a crash.
        atexit.register(self.shutdown)

    @classmethod
    def of(cls, config: Config, source: str) -> Self:
        """The engine of a config on a model's source, fetched to the nodes that have none of it."""
        model_dir, *others = sorted(set(where_parts_go(config.engine, partial(fetch, source))))
        if others:
            raise ValueError(
                f"engine: one node keeps the model in {model_dir}, another in {others[0]}; "
                "set $SELFCAL_CACHE to one path on all nodes"
            )
        return cls(str(model_dir), config.engine, config.sampling, config.confidence)

    async def draw(self, prompt_ids: Sequence[int], key: int) -> "VLLMDraw":
        draw = VLLMDraw(self._llm, self.prompts, self._kind)
        await draw.respond(prompt_ids, self._sampling, key)
        return draw

    def shutdown(self) -> None:
        """Ends the engine and its process; it takes no more requests. Again, it does nothing."""
        llm = self.__dict__.pop("_llm", None)
        if llm is None:  # a framework's hook, Python's exit and its destructors all come here
            return
        atexit.unregister(self.shutdown)
        # Its reader would take the process's end for a crash and report one.
        reader = llm.output_handler
        if reader is not None and not reader.get_loop().is_closed():
            reader.get_loop().call_soon_threadsafe(reader.cancel)
        llm.shutdown()


class VLLMDraw:
    """A sample and its score as one session: vLLM's streaming input, a part of it at a time.

    The session keeps its KV blocks from part to part, so P(True) costs the tokens of its turn
    and no others, whatever the block size; a request of its own would compute again what lies
    past the last whole block. vLLM drops the last token that a part sampled, which it did not
    run the model on: the end token, which the turn brings itself, or the last of a response
    that was cut at max_tokens, which is sent again.
    """

    generated: Generated

    def __init__(self, llm: AsyncLLM, prompts: Prompts, kind: ConfidenceKind):
        self._llm, self._prompts, self._kind = llm, prompts, kind
        # The part that asks for the score; None ends the session without one.
        self._turn: asyncio.Future[list[int] | None] = asyncio.get_running_loop().create_future()

    async def respond(self, prompt_ids: Sequence[int], sampling: SamplingConfig, key: int) -> None:
        """Samples the response: sets `generated`."""
        score = _score_params(self._kind, self._prompts)

        async def parts() -> AsyncGenerator[StreamingInput, None]:
            # vLLM learns from the first part whether a session reports log-probabilities, and
            # a response's own are not wanted: so the first part is all but one of the prompt.
            yield _part(prompt_ids[:-1], score)
            yield _part(prompt_ids[-1:], respond_params(sampling, key))
            if (turn := await self._turn) is not None:
                yield _part(turn, score)

        self._outputs = self._llm.generate(parts(), score, uuid.uuid4().hex)
        sampled: list[int] = []
        cached: int | None = None
        reason = None
        # The first part samples one token. What a slow reader has not read yet comes merged.
        while len(sampled) < 2 or reason is None:
            output = await self._next()
            cached = output.num_cached_tokens if cached is None else cached
            sampled += output.outputs[0].token_ids
            reason = output.outputs[0].finish_reason
        del sampled[0]  # of the first part
        ids = self._prompts.response_ids(sampled)
        self._left = ids[len(sampled) - 1 :]
        self.generated = Generated(
            token_ids=ids,
            text=self._prompts.tokenizer.decode(ids, skip_special_tokens=True),
            num_tokens=len(sampled),
            finish_reason=reason,
            prompt_tokens=len(prompt_ids),
            cached_tokens=cached or 0,
        )

    async def score(self) -> Scored:
        turn = [*self._left, *self._prompts.turn_ids]
        self._turn.set_result(turn)
        logprobs = (await self._next()).outputs[0].logprobs
        assert logprobs, "the engine returned no log-probabilities"
        by_id = {token: entry.logprob for token, entry in logprobs[-1].items()}
        generated = self.generated
        tokens = generated.prompt_tokens + len(generated.token_ids) + len(self._prompts.turn_ids)
        return Scored(
            p_true=confidence(by_id, self._kind, self._prompts),
            tokens=tokens,
            cached_tokens=tokens - len(turn),
        )

    def release(self) -> None:
        self._turn.set_result(None)

    async def _next(self) -> RequestOutput:
        try:
            return await anext(self._outputs)
        except EngineDeadError:
            # Nothing in this process can revive the engine's. Leaving makes Ray start another
            # actor and hand it the rows that this one held.
            os._exit(1)


def _part(ids: Sequence[int], params: SamplingParams) -> StreamingInput:
    return StreamingInput(tokens_input(list(ids)), params)


def respond_params(sampling: SamplingConfig, key: int) -> SamplingParams:
    return SamplingParams(
        temperature=0.0,
        max_tokens=sampling.max_tokens,
        extra_args={
            "edt_t0": sampling.temperature,
            "edt_base": sampling.edt_base,
            "edt_theta": sampling.edt_theta if sampling.method == "edt" else 0.0,
            "edt_paper_code": int(sampling.compat == "paper_code"),
            "edt_key": key,
        },
        output_kind=RequestOutputKind.DELTA,
        detokenize=False,
    )


def _score_params(kind: ConfidenceKind, prompts: Prompts) -> SamplingParams:
    wanted: dict[str, Any] = {"logprob_token_ids": [prompts.yes_id, prompts.no_id]}
    if kind == "yes_top20":
        wanted = {"logprobs": 20}
    return SamplingParams(
        temperature=0.0,
        max_tokens=1,
        output_kind=RequestOutputKind.DELTA,
        detokenize=False,
        stream_interval=_NEVER,
        extra_args={LOG_PROBABILITIES: 1},
        **wanted,
    )


def engine_arguments(model_dir: str, engine: EngineConfig) -> dict[str, Any]:
    """vLLM's arguments for a config. Sets the environment that it reads when it starts, too."""
    optional: dict[str, Any] = {}
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
        "gpu_memory_utilization": engine.gpu_memory_utilization,
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


def _prepare_cpu(engine: EngineConfig) -> dict[str, Any]:
    """Environment and arguments for vLLM's CPU backend, whose defaults are for large servers.

    It runs the model in a process of its own and keeps one core back for a scheduler that
    spins while it waits: on two cores that is half the machine (230 against 390 tokens/s).
    One process does both here, on all threads; tensor parallelism needs a process a part.
    """
    if engine.kv_cache_gib is not None:
        os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(engine.kv_cache_gib)
    if not _compiles():
        if not engine.enforce_eager:
            raise ValueError(
                "engine.enforce_eager: set it to true, or install a C++ compiler (g++, or what "
                "$CXX names): there is none here that works"
            )
        # EDT's passes and a helper of vLLM's are compiled even then; without, they are slower.
        os.environ["TORCHDYNAMO_DISABLE"] = "1"
    os.environ.setdefault("GLIBC_TUNABLES", MALLOC)
    if (parts := engine.tensor_parallel_size) > 1:
        # vLLM would give each part a NUMA node, and refuses to start where there are fewer.
        shares = np.array_split(sorted(os.sched_getaffinity(0))[: engine.threads], parts)
        bind = "|".join(",".join(map(str, share)) for share in shares)
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", bind)
        return {}
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["OMP_NUM_THREADS"] = str(
        engine.threads or len(os.sched_getaffinity(0))
    )  # Ray sets it to 1
    return {"distributed_executor_backend": "uni"}


def _compiles() -> bool:
    """Whether there is a C++ compiler, and it works."""
    command = [os.environ.get("CXX", "g++"), "-x", "c++", "-fsyntax-only", "-"]
    try:
        return not subprocess.run(
            command, input=b"#include <cmath>\n", capture_output=True
        ).returncode
    except OSError:
        return False


def _is_installed_plugin() -> bool:
    """vLLM loads the class by itself where the project is installed; twice would sample twice."""
    return any(
        point.value == f"{EDTLogitsProcessor.__module__}:{EDTLogitsProcessor.__name__}"
        for point in entry_points(group="vllm.logits_processors")
    )
