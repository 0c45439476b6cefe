"""vLLM behind the Engine protocol: a session a sample."""

import pipelines.engine.environment  # noqa: F401

# isort: split
import asyncio
import atexit
import logging
import os
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError
from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.engine.protocol import StreamingInput
from vllm.inputs import tokens_input
from vllm.lora.request import LoRARequest
from vllm.outputs import RequestOutput
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from pipelines.config import ConfidenceConfig, Config, DrawConfig, EngineConfig
from pipelines.engine.arguments import adapter_arguments, engine_arguments
from pipelines.engine.edt_plugin import LOG_PROBABILITIES
from pipelines.engine.footprint import need, reserve
from pipelines.engine.protocol import Generated, Scored
from pipelines.method.prompts import ConfidenceKind, Prompts, confidence, reply_mass
from pipelines.method.template import PLAIN, Chat
from pipelines.running.placement import where_parts_go
from pipelines.running.progress import Count
from pipelines.storage.models import fetch, fetch_adapter

_NEVER = 2**31 - 1  # tokens between the reports of a request: only its first and its end


class VLLMEngine:
    """vLLM's AsyncLLM. It starts a process: scripts need `if __name__ == "__main__"`.

    It draws from the model in model_dir; `adapted` gives the same with one of the adapters (name ->
    directory in PEFT form) on it. ValueError where vLLM does not start with this config on this
    model and machine.
    """

    def __init__(
        self,
        model_dir: str,
        engine: EngineConfig,
        sampling: DrawConfig,
        scoring: ConfidenceConfig,
        chat: Chat = PLAIN,
        adapters: Mapping[str, Path] | None = None,
    ):
        adapters = adapters or {}
        self.count = Count()
        self._sampling = sampling
        self._kind = scoring.kind
        self.prompts = Prompts.load(model_dir, scoring.question, chat)
        try:
            self._llm = AsyncLLM.from_engine_args(
                AsyncEngineArgs(
                    **engine_arguments(model_dir, engine, adapters.values()),
                    # What is reported is normalized by the plugin, in the rows that ask for it.
                    logprobs_mode="processed_logits",
                    # It gets ids and gives ids; its own tokenizer need not be the one of
                    # method/tokenizer.py. What reads images wants one, and there are none.
                    skip_tokenizer_init=True,
                    language_model_only=True,
                )
            )
        except ValidationError as error:  # what vLLM's config refuses
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(f"engine: vLLM does not start: {message}") from None
        except RuntimeError as error:
            if not str(error).startswith("Engine core initialization failed"):
                raise
            raise ValueError(
                "engine: vLLM does not start; its process says why above (of memory decide "
                "engine.gpu_memory_utilization, engine.kv_cache_gib, engine.max_model_len and "
                "engine.max_num_seqs)"
            ) from None
        self._adapters = {
            name: LoRARequest(name, number, str(directory))
            for number, (name, directory) in enumerate(adapters.items(), start=1)
        }
        # It would end responses at what the model's files name, too, and that may be text
        # (method/tokenizer.py).
        self._llm.input_processor.generation_config_fields.pop("eos_token_id", None)
        # It reports an engine's end at each exit, too. An engine that fails says why in its own
        # process. Only here: an engine that starts sets all of vLLM's loggers anew.
        logging.getLogger("vllm.v1.engine.async_llm").setLevel(logging.CRITICAL)
        # A process that ends takes its children with it first: vLLM would report a crash.
        atexit.register(self.shutdown)

    @classmethod
    def of(
        cls,
        config: Config,
        source: str,
        sampling: DrawConfig,
        adapters: Mapping[str, str] | None = None,
    ) -> Self:
        """The engine of a config on a model's source and on adapters' (name -> source), fetched to
        the nodes that have none of them.

        sampling: the config's `sampling` or its `answering`.
        """
        adapters = adapters or {}

        def fetched() -> tuple[Path, ...]:
            return fetch(source), *map(fetch_adapter, adapters.values())

        here, *others = sorted(set(where_parts_go(config.engine, fetched)))
        if others:
            raise ValueError(
                f"engine: one node keeps the model in {here[0]}, another in {others[0][0]}; "
                "set $SELFCAL_CACHE to one path on all nodes"
            )
        model_dir, *adapter_dirs = here
        if current_platform.is_cpu():
            lora = adapter_arguments(adapter_dirs)
            rows = lora["max_loras"] * lora["max_lora_rank"] if lora else 0
            reserve(need(model_dir, config.engine, rows), config.engine)
        return cls(
            str(model_dir),
            config.engine,
            sampling,
            config.confidence,
            config.model.chat,
            dict(zip(adapters, adapter_dirs, strict=True)),
        )

    async def draw(
        self, prompt_ids: Sequence[int], key: int, adapter: LoRARequest | None = None
    ) -> "VLLMDraw":
        draw = VLLMDraw(self._llm, self.prompts, self._kind, adapter)
        await draw.respond(prompt_ids, self._sampling, key, self.count)
        self.count.done += 1
        return draw

    def adapted(self, name: str) -> "AdaptedEngine":
        return AdaptedEngine(self, self._adapters[name])

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


class AdaptedEngine:
    """An engine whose draws and scores are of its model with an adapter on it."""

    def __init__(self, engine: VLLMEngine, adapter: LoRARequest):
        self.count = engine.count
        self._engine, self._adapter = engine, adapter

    async def draw(self, prompt_ids: Sequence[int], key: int) -> "VLLMDraw":
        return await self._engine.draw(prompt_ids, key, self._adapter)

    def shutdown(self) -> None:
        self._engine.shutdown()


class VLLMDraw:
    """A sample and its score as one session: vLLM's streaming input, a part of it at a time.

    The session keeps its KV blocks from part to part, so P(True) costs the tokens of its turn
    and no others, whatever the block size; a request of its own would compute again what lies
    past the last whole block. vLLM drops the last token that a part sampled, which it did not
    run the model on: the end token, which the turn brings itself, or the last of a response
    that was cut at max_tokens, which is sent again.
    """

    generated: Generated

    def __init__(
        self,
        llm: AsyncLLM,
        prompts: Prompts,
        kind: ConfidenceKind,
        adapter: LoRARequest | None = None,
    ):
        self._llm, self._prompts, self._kind, self._adapter = llm, prompts, kind, adapter
        # The part that asks for the score; None ends the session without one.
        self._turn: asyncio.Future[list[int] | None] = asyncio.get_running_loop().create_future()

    async def respond(
        self, prompt_ids: Sequence[int], sampling: DrawConfig, key: int, count: Count
    ) -> None:
        """Samples the response: sets `generated`. Its tokens are counted as they come."""
        score = _score_params(self._kind, self._prompts)

        async def parts() -> AsyncGenerator[StreamingInput, None]:
            # vLLM learns from the first part whether a session reports log-probabilities, and
            # a response's own are not wanted: so the first part is all but one of the prompt.
            yield _part(prompt_ids[:-1], score)
            yield _part(prompt_ids[-1:], respond_params(sampling, key, self._prompts.end_ids))
            if (turn := await self._turn) is not None:
                yield _part(turn, score)

        self._outputs = self._llm.generate(
            parts(), score, uuid.uuid4().hex, lora_request=self._adapter
        )
        sampled: list[int] = []
        cached: int | None = None
        reason = None
        # The first part samples one token. What a slow reader has not read yet comes merged.
        while len(sampled) < 2 or reason is None:
            output = await self._next()
            cached = output.num_cached_tokens if cached is None else cached
            sampled += output.outputs[0].token_ids
            count.tokens += len(output.outputs[0].token_ids)
            reason = output.outputs[0].finish_reason
        del sampled[0]  # of the first part
        count.tokens -= 1
        ids = self._prompts.response_ids(sampled)
        self._kept = len(sampled) - 1  # of the ids that are scored, the session has these
        self.generated = Generated(
            token_ids=ids,
            text=self._prompts.response_text(ids),
            num_tokens=len(sampled),
            finish_reason=reason,
            prompt_tokens=len(prompt_ids),
            cached_tokens=cached or 0,
        )

    async def score(self) -> Scored:
        turn = [*self.generated.token_ids, *self._prompts.turn_ids][self._kept :]
        self._turn.set_result(turn)
        logprobs = (await self._next()).outputs[0].logprobs
        assert logprobs, "the engine returned no log-probabilities"
        by_id = {token: entry.logprob for token, entry in logprobs[-1].items()}
        generated = self.generated
        tokens = generated.prompt_tokens + len(generated.token_ids) + len(self._prompts.turn_ids)
        return Scored(
            p_true=confidence(by_id, self._kind, self._prompts),
            mass=reply_mass(by_id, self._kind, self._prompts),
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


def respond_params(sampling: DrawConfig, key: int, end_ids: Iterable[int]) -> SamplingParams:
    return SamplingParams(
        temperature=0.0,
        max_tokens=sampling.max_tokens,
        stop_token_ids=sorted(end_ids),
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
