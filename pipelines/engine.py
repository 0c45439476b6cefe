"""vLLM behind the Engine protocol: a request a sample, a request a score. The only vllm import.

`EDTLogitsProcessor` puts EDT (pipelines/edt.py) inside vLLM's sampler, in both of its
interfaces; it is also an entry point, so a plain server takes it as a request argument:

    vllm serve MODEL      then      {"temperature": 1.0, "vllm_xargs": {"edt_t0": 0.8}, ...}
"""

import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, cast

os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # read when vllm is imported

import torch
from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.inputs import TokensPrompt
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.sample.logits_processor.builtin import process_dict_updates
from vllm.v1.sample.logits_processor.interface import LogitsProcessor as V1LogitsProcessor
from vllm.v1.worker.gpu.sample.logits_processor.interface import (
    LogitsProcessor as V2LogitsProcessor,
)

from pipelines.config import ConfidenceConfig, EngineConfig, SamplingConfig
from pipelines.edt import edt_temperature, inverse_cdf, uniforms
from pipelines.engine_protocol import Generated, Scored
from pipelines.prompts import Prompts, confidence

_ROWS_AT_ONCE = 16  # rows of logits handled together: what fits a core's cache


class VLLMEngine:
    """vLLM's AsyncLLM. It starts a process: scripts need `if __name__ == "__main__"`."""

    def __init__(
        self,
        model_dir: str,
        engine: EngineConfig,
        sampling: SamplingConfig,
        scoring: ConfidenceConfig,
    ):
        self._sampling = sampling
        self._kind = scoring.kind
        optional: dict[str, Any] = {}
        if current_platform.is_cpu():
            optional |= _prepare_cpu(engine)
        if engine.block_size is not None:
            optional["block_size"] = engine.block_size
        self._llm = AsyncLLM.from_engine_args(
            AsyncEngineArgs(
                model=model_dir,
                dtype=cast(Any, engine.dtype),
                max_model_len=engine.max_model_len,
                max_num_seqs=engine.max_num_seqs,
                max_num_batched_tokens=engine.max_num_batched_tokens,
                gpu_memory_utilization=engine.gpu_memory_utilization,
                tensor_parallel_size=engine.tensor_parallel_size,
                enforce_eager=engine.enforce_eager,
                trust_remote_code=engine.trust_remote_code,
                load_format="safetensors",
                use_tqdm_on_load=False,
                enable_prefix_caching=True,
                logprobs_mode="raw_logprobs",
                disable_log_stats=True,
                logits_processors=None if _is_installed_plugin() else [EDTLogitsProcessor],
                **optional,
            )
        )
        self.prompts = Prompts.from_tokenizer(self._llm.get_tokenizer(), scoring.question)

    async def sample(self, prompt_ids: Sequence[int], key: int) -> Generated:
        config = self._sampling
        params = SamplingParams(
            temperature=0.0,
            max_tokens=config.max_tokens,
            extra_args={
                "edt_t0": config.temperature,
                "edt_base": config.edt_base,
                "edt_theta": config.edt_theta if config.method == "edt" else 0.0,
                "edt_paper_code": int(config.compat == "paper_code"),
                "edt_key": key,
            },
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        result = await self._run(prompt_ids, params)
        output = result.outputs[0]
        ids = self.prompts.response_ids(output.token_ids)
        return Generated(
            token_ids=ids,
            text=self.prompts.tokenizer.decode(ids, skip_special_tokens=True),
            num_tokens=len(output.token_ids),
            finish_reason=output.finish_reason or "unknown",
            prompt_tokens=len(prompt_ids),
            cached_tokens=result.num_cached_tokens or 0,
        )

    async def score(self, prompt_ids: Sequence[int], response_ids: Sequence[int]) -> Scored:
        ids = self.prompts.scoring_ids(prompt_ids, response_ids)
        wanted: dict[str, Any] = {"logprob_token_ids": [self.prompts.yes_id, self.prompts.no_id]}
        if self._kind == "yes_top20":
            wanted = {"logprobs": 20}
        params = SamplingParams(
            temperature=0.0, max_tokens=1, output_kind=RequestOutputKind.FINAL_ONLY, **wanted
        )
        result = await self._run(ids, params)
        logprobs = result.outputs[0].logprobs
        assert logprobs, "the engine returned no log-probabilities"
        by_id = {token: entry.logprob for token, entry in logprobs[0].items()}
        return Scored(
            p_true=confidence(by_id, self._kind, self.prompts),
            tokens=len(ids),
            cached_tokens=result.num_cached_tokens or 0,
        )

    def shutdown(self) -> None:
        """Ends the engine and its process; it takes no more requests."""
        llm = self._llm
        del self._llm
        # Its reader would take the process's end for a crash and report one.
        if (reader := llm.output_handler) is not None:
            reader.get_loop().call_soon_threadsafe(reader.cancel)
        llm.shutdown()

    async def _run(self, ids: Sequence[int], params: SamplingParams) -> Any:
        final = None
        prompt = TokensPrompt(prompt_token_ids=list(ids))
        try:
            async for output in self._llm.generate(prompt, params, uuid.uuid4().hex):
                final = output
        except EngineDeadError:
            # Nothing in this process can revive the engine's. Leaving makes Ray start another
            # actor and hand it the rows that this one held.
            os._exit(1)
        assert final is not None
        return final


def _prepare_cpu(engine: EngineConfig) -> dict[str, Any]:
    """Environment and arguments for vLLM's CPU backend, whose defaults are for large servers.

    It runs the model in a process of its own and keeps one core back for a scheduler that
    spins while it waits: on two cores that is half the machine (230 against 390 tokens/s).
    One process does both here, on all threads; tensor parallelism needs vLLM's own way.
    """
    if engine.kv_cache_gib is not None:
        os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(engine.kv_cache_gib)
    if engine.enforce_eager:
        # The sampler compiles a helper even then, and a machine may have no compiler.
        os.environ["TORCHDYNAMO_DISABLE"] = "1"
    if engine.tensor_parallel_size > 1:
        return {}
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["OMP_NUM_THREADS"] = str(
        engine.threads or len(os.sched_getaffinity(0))
    )  # Ray sets it to 1
    return {"distributed_executor_backend": "uni"}


def _is_installed_plugin() -> bool:
    """vLLM loads the class by itself where the project is installed; twice would sample twice."""
    return any(
        point.value == f"{__name__}:{EDTLogitsProcessor.__name__}"
        for point in entry_points(group="vllm.logits_processors")
    )


@dataclass(frozen=True)
class _Request:
    """The EDT arguments of one request, from its `extra_args` (`vllm_xargs` over HTTP)."""

    t0: float
    base: float
    theta: float
    paper_code: bool
    key: int | None  # draws by (key, position); None leaves the draw to the engine

    @classmethod
    def parse(cls, params: SamplingParams) -> "_Request | None":
        given: Mapping[str, Any] = params.extra_args or {}
        if "edt_t0" not in given:
            return None
        try:
            request = cls(
                t0=float(given["edt_t0"]),
                base=float(given.get("edt_base", 0.8)),
                theta=float(given.get("edt_theta", 1.0)),
                paper_code=bool(given.get("edt_paper_code", 0)),
                key=int(given["edt_key"]) if "edt_key" in given else None,
            )
        except (TypeError, ValueError) as error:
            raise ValueError(f"edt_*: expected numbers ({error})") from None
        if not (request.t0 > 0 and 0 < request.base <= 1 and request.theta >= 0):
            raise ValueError("edt_t0 must be > 0, edt_base in (0, 1], edt_theta >= 0")
        if request.key is not None and not 0 <= request.key < 2**63:
            raise ValueError("edt_key must be a whole number in [0, 2**63)")
        if request.key is None and params.temperature != 1.0:
            raise ValueError("EDT sets the temperature: leave the request's own at 1.0")
        if request.key is not None and params.temperature != 0.0:
            raise ValueError("edt_key makes the draw: set the request's temperature to 0")
        return request


class EDTLogitsProcessor(V1LogitsProcessor, V2LogitsProcessor):
    """EDT in the sampler, for the requests that carry `edt_t0`.

    Without `edt_key` it divides a row by its temperature and the engine draws. With it, it
    draws the token itself, exactly, and leaves the engine's argmax only that one: the draw
    depends on (key, position), not on the batch, and the engine's own sampler is skipped.
    P(True) reads raw log-probabilities, which the engine takes before any processor.
    """

    def __init__(self, vllm_config: Any, device_or_states: Any, is_pin_memory: bool = False):
        self._requests: dict[int, tuple[_Request, Any]] = {}
        self._states = None if isinstance(device_or_states, torch.device) else device_or_states

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        _Request.parse(sampling_params)

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        """V1: keeps each row's request, with the engine's own running list of its tokens."""

        def new_state(params: SamplingParams, _: Any, tokens: list[int]) -> Any:
            request = _Request.parse(params)
            return None if request is None else (request, tokens)

        process_dict_updates(self._requests, batch_update, new_state)

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """V2: slots are recycled, so a request without EDT clears what stood there."""
        request = _Request.parse(sampling_params)
        self._requests.pop(req_idx, None)
        if request is not None:
            self._requests[req_idx] = (request, None)
        return request is not None

    def apply(self, logits: torch.Tensor, ctx: Any = None) -> torch.Tensor:
        if not self._requests:
            return logits
        if ctx is None:  # V1: a row is a batch index
            rows = list(self._requests)
            requests = [request for request, _ in self._requests.values()]
            positions = torch.tensor([len(tokens) for _, tokens in self._requests.values()])
        else:  # V2: a row is a slot, in an order of this step's own
            slots = ctx.expanded_idx_mapping.tolist()
            rows = [row for row, slot in enumerate(slots) if slot in self._requests]
            requests = [self._requests[slots[row]][0] for row in rows]
            assert self._states is not None
            prompt_len = self._states.prompt_len.gpu[ctx.expanded_idx_mapping]
            positions = (ctx.pos + 1 - prompt_len)[rows].cpu()
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            _apply(logits, rows[part], requests[part], positions[part].long())
        return logits


def _apply(
    logits: torch.Tensor, rows: list[int], requests: list[_Request], positions: torch.Tensor
) -> None:
    """Rewrites these rows of logits [batch, vocab] in place; positions [rows] on the host."""
    device = logits.device
    index = torch.tensor(rows, device=device)
    scores = logits[index]

    def column(name: str) -> torch.Tensor:
        return torch.tensor([getattr(one, name) for one in requests], device=device)

    t0, base, theta = column("t0"), column("base"), column("theta")
    temperature = edt_temperature(scores, t0, base, theta)
    if any(request.paper_code for request in requests):
        compat = edt_temperature(scores, t0, base, theta, paper_code=True)
        temperature = torch.where(column("paper_code"), compat, temperature)
    keyed = [i for i, request in enumerate(requests) if request.key is not None]
    free = [i for i, request in enumerate(requests) if request.key is None]
    if free:
        logits[index[free]] = scores[free] / temperature[free].clamp_min(1e-5)[:, None]
    if keyed:
        keys = torch.tensor([requests[i].key for i in keyed], dtype=torch.int64)
        u = uniforms(keys, positions[keyed]).to(device)
        tokens = inverse_cdf(scores[keyed], temperature[keyed], u)
        logits[index[keyed], tokens] = torch.finfo(logits.dtype).max
