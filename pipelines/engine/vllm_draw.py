"""A sample and its score by vLLM: one session, or two requests where it cannot go on."""

import pipelines.engine.environment  # noqa: F401

# isort: split
import asyncio
import os
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Any

from vllm import SamplingParams
from vllm.engine.protocol import StreamingInput
from vllm.inputs import tokens_input
from vllm.lora.request import LoRARequest
from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from pipelines.engine import token_channel
from pipelines.engine.edt_plugin import LOG_PROBABILITIES, TOKEN_FACTS
from pipelines.engine.protocol import Counters, Drawing, Generated, Scored
from pipelines.engine.text_stream import TextStream
from pipelines.method.prompts import ConfidenceKind, Prompts, confidence, reply_mass
from pipelines.running.progress import Count

_NEVER = 2**31 - 1  # tokens between the reports of a session: only its first and its end


class VLLMDraw:
    """A sample and its score as one session: vLLM's streaming input, a part of it at a time.

    The session keeps its KV blocks from part to part, so P(True) costs the tokens of its turn
    and no others, whatever the block size; a request of its own would compute again what lies
    past the last whole block. vLLM drops the last token that a part sampled, which it did not
    run the model on: the end token, which the turn brings itself, or the last of a response
    that was cut at max_tokens, which is sent again.

    A session goes on after all that it sampled. So of a response that a stop string ended, the
    session is aborted, and the score is a request of its own: the blocks that were whole are in the
    prefix cache.
    """

    generated: Generated

    def __init__(
        self,
        llm: AsyncLLM,
        prompts: Prompts,
        kind: ConfidenceKind,
        spent: Counters,
        adapter: LoRARequest | None = None,
    ):
        self._llm, self._prompts, self._kind, self._adapter = llm, prompts, kind, adapter
        self._spent, self._score = spent, _score_params(kind, prompts)
        self._taken: list[list[float]] = []  # of each sampled token, where the drawing tells
        # The part that asks for the score; None ends the session without one.
        self._turn: asyncio.Future[list[int] | None] = asyncio.get_running_loop().create_future()
        self._ended = False  # the session, by a stop string

    async def respond(
        self,
        prompt_ids: Sequence[int],
        key: int,
        drawing: Drawing,
        count: Count,
        heard: Callable[[str], None] | None = None,
        live: bool = False,
    ) -> None:
        """Samples the response: sets `generated`."""
        # Nothing is decoded on the way that nobody asks for.
        stream = TextStream(self._prompts, drawing.stop, heard) if heard or drawing.stop else None
        # How often a session reports, vLLM learns from what it begins with.
        every = 1 if live or stream else _NEVER
        first = _score_params(self._kind, self._prompts, every)
        if drawing.tells:
            first = _reporting(token_channel.IDS, every)

        async def parts() -> AsyncGenerator[StreamingInput, None]:
            # vLLM learns from the first part whether a session reports log-probabilities, and of
            # how many ids, and a response's own are seldom wanted: so the first part is all but one
            # of the prompt.
            yield _part(prompt_ids[:-1], first)
            yield _part(prompt_ids[-1:], respond_params(drawing, key, self._prompts.end_ids))
            if (turn := await self._turn) is not None:
                yield _part(turn, self._score)

        self._prompt_ids = prompt_ids
        self._outputs = self._generate(parts(), first)
        try:
            sampled, reason, cached = await self._sampled(stream, count, drawing.tells)
            ids = self._prompts.response_ids(sampled)
            if stream and not self._ended:
                self._ended = stream.close(ids)
            if self._ended:
                await self._outputs.aclose()
        except BaseException:  # what hears may fail, too
            await self._outputs.aclose()
            raise
        self._kept = len(sampled) - 1  # of the ids that are scored, the session has these
        if stream and self._ended:
            ids, reason = stream.kept(sampled), "stop"
        self.generated = Generated(
            token_ids=ids,
            text=stream.text if stream else self._prompts.response_text(ids),
            num_tokens=len(sampled),
            finish_reason=reason,
            prompt_tokens=len(prompt_ids),
            cached_tokens=cached,
            facts=token_channel.facts_of(self._taken[: len(ids)]),
        )

    async def _sampled(
        self, stream: TextStream | None, count: Count, tells: bool
    ) -> tuple[list[int], str, int]:
        """The tokens up to the response's end, why it ended, and the prompt's cached tokens."""
        spent = self._spent
        # The first part samples one token. What a slow reader has not read yet comes merged.
        output = await self._next()
        cached = output.num_cached_tokens or 0
        spent.prompt_tokens += len(self._prompt_ids) - cached
        spent.cached_tokens += cached
        sampled: list[int] = []
        new = [*output.outputs[0].token_ids][1:]
        while True:
            count.tokens += len(new)
            spent.generated_tokens += len(new)
            if tells and new:
                reported = output.outputs[0].logprobs
                assert reported, "the engine told nothing of its tokens"
                self._taken += map(token_channel.take, new, reported[-len(new) :])
            if stream is None:
                sampled += new
            else:
                for token in new:
                    sampled.append(token)
                    if stream.add(token):
                        self._ended = True
                        return sampled, "stop", cached
            reason = output.outputs[0].finish_reason
            if sampled and reason is not None:
                return sampled, reason, cached
            output = await self._next()
            new = [*output.outputs[0].token_ids]

    async def score(self) -> Scored:
        prompt_ids, response_ids = self._prompt_ids, self.generated.token_ids
        whole = self._prompts.scoring_ids(prompt_ids, response_ids)
        if self._ended:
            new = self._prompts.turn_ids  # at least; vLLM tells how much more
            self._outputs = self._generate(tokens_input(whole), self._score)
        else:
            new = whole[len(prompt_ids) + self._kept :]
            self._turn.set_result(new)
        self._spent.scored_tokens += len(new)
        output = await self._next()
        cached = (output.num_cached_tokens or 0) if self._ended else len(whole) - len(new)
        logprobs = output.outputs[0].logprobs
        assert logprobs, "the engine returned no log-probabilities"
        by_id = {token: entry.logprob for token, entry in logprobs[-1].items()}
        scored = Scored(
            p_true=confidence(by_id, self._kind, self._prompts),
            mass=reply_mass(by_id, self._kind, self._prompts),
            tokens=len(whole),
            cached_tokens=cached,
        )
        self._spent.scored_tokens += len(whole) - cached - len(new)
        self._spent.cached_tokens += cached
        self._spent.scored_responses += 1
        self._spent.mass += scored.mass
        return scored

    def release(self) -> None:
        if not self._turn.done():
            self._turn.set_result(None)

    def _generate(self, asked: Any, params: SamplingParams) -> AsyncGenerator[RequestOutput, None]:
        """A request that ends with a score; one that is a session says so in each of its parts."""
        return self._llm.generate(asked, params, uuid.uuid4().hex, lora_request=self._adapter)

    async def _next(self) -> RequestOutput:
        return await next_output(self._outputs)


async def next_output(outputs: AsyncGenerator[RequestOutput, None]) -> RequestOutput:
    try:
        return await anext(outputs)
    except EngineDeadError:
        # Nothing in this process can revive the engine's. Leaving makes Ray start another actor
        # and hand it the rows that this one held.
        os._exit(1)


def _part(ids: Sequence[int], params: SamplingParams) -> StreamingInput:
    return StreamingInput(tokens_input(list(ids)), params)


def respond_params(drawing: Drawing, key: int, end_ids: Iterable[int]) -> SamplingParams:
    """vLLM's argmax, before which the plugin draws; or alone, where the drawing is greedy."""
    edt = {
        "edt_t0": drawing.temperature,
        "edt_base": drawing.edt_base,
        "edt_theta": drawing.edt_theta if drawing.method == "edt" else 0.0,
        "edt_paper_code": int(drawing.compat == "paper_code"),
        "edt_top_p": drawing.top_p,
        "edt_key": key,
    }
    asked: dict[str, Any] = edt if drawing.temperature else {}
    if drawing.tells:
        asked |= {TOKEN_FACTS: 1}
    return SamplingParams(
        temperature=0.0,
        max_tokens=drawing.max_tokens,
        stop_token_ids=sorted(end_ids),
        extra_args=asked or None,
        logprob_token_ids=[*token_channel.IDS] if drawing.tells else None,
        output_kind=RequestOutputKind.DELTA,
        detokenize=False,
    )


def _score_params(kind: ConfidenceKind, prompts: Prompts, every: int = 1) -> SamplingParams:
    if kind == "yes_top20":
        return _reporting((), every, logprobs=20)
    return _reporting((prompts.yes_id, prompts.no_id), every)


def _reporting(ids: Sequence[int], every: int, **more: Any) -> SamplingParams:
    """Of one token, whose row tells its log-probabilities. every: so many tokens a session reports,
    but for its first and its end."""
    return SamplingParams(
        temperature=0.0,
        max_tokens=1,
        output_kind=RequestOutputKind.DELTA,
        detokenize=False,
        stream_interval=every,
        extra_args={LOG_PROBABILITIES: 1},
        logprob_token_ids=[*ids] or None,
        **more,
    )
