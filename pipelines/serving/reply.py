"""What a request is answered: a text, its usage, and `scaling` beside."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Literal

from pydantic import BaseModel, Field

from pipelines.engine.protocol import Counters
from pipelines.engine.sampling import Sample
from pipelines.serving.adaptive import Decision
from pipelines.serving.scaling import Plan

StopReason = Literal["sure", "gave up", "budget", "deadline", "no answer"]


class GiveUp(BaseModel):
    """Where sampling ends because too few samples agree."""

    after: int = Field(description="samples")
    below: float = Field(description="the share of these that gives the leading answer")


class UsedSample(BaseModel):
    index: int
    text: str
    answer: str | None
    p_true: float | None
    mass: float | None
    confidence: float | None = Field(description="that the policy had; null where it needs none")
    tokens: int
    finish_reason: str


class Receipt(BaseModel):
    """Tokens that the model computed: prompts but for what was cached, responses, and scores."""

    tokens: int
    one_sample: int = Field(description="of the first sample alone, without a score")
    full_budget: int = Field(description="of all samples of the budget, by the mean of those drawn")
    cached: int = Field(description="not computed: of prompts, and of what was scored")
    saved: float = Field(description="1 - tokens / full_budget")


class Samples(BaseModel):
    started: int
    finished: int
    cancelled: int
    used: int = Field(description="that the policy saw; the others were drawn in vain")


class Scaled(BaseModel):
    """How the request's samples were spent, and what they say."""

    policy: str
    threshold: float | None
    give_up: GiveUp | None = None
    budget: int
    schedule: str | list[int]
    order: Literal["index", "arrival"]
    kind: str
    temperature_kind: Literal["edt", "fixed", "greedy"]
    temperature: float
    seed: int
    answer: str | None = Field(description="as it is compared; null where no sample has one")
    confidence: float | None = Field(
        description="of the message: P(True), or of its tokens; null where the policy needs none"
    )
    mass: float | None = Field(description="p(Yes) + p(No), of which confidence is noise near 0")
    share: float | None = Field(description="of the answer in all weights")
    votes: dict[str, int]
    weights: dict[str, float]
    samples: Samples
    stop_reason: StopReason
    seconds: float
    receipt: Receipt
    ignored: list[str] = Field(description="fields of the request that have no effect here")
    details: list[UsedSample] | None = None


class PromptDetails(BaseModel):
    cached_tokens: int


class CompletionDetails(BaseModel):
    """Which sum up to completion_tokens."""

    message_tokens: int
    other_tokens: int = Field(description="of the other samples that the policy saw")
    wasted_tokens: int = Field(description="of samples that it did not")
    scored_tokens: int = Field(description="computed for confidences")


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int = Field(description="all that were generated, used or not, and scored")
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class Outcome(BaseModel):
    """What a request is answered, whichever form it has."""

    text: str
    finish_reason: str
    usage: Usage
    scaling: Scaled


@dataclass(frozen=True)
class Answered:
    """A request that is done. prompt: tokens of its prompt. spent: on all that was started."""

    plan: Plan
    prompt: int
    decision: Decision
    spent: Counters
    seconds: float


def outcome(answered: Answered, ignored: list[str], details: bool) -> Outcome:
    """ignored: fields of the request. details: tell every sample that was used."""
    chosen = answered.decision.chosen.generated
    return Outcome(
        text=chosen.text,
        finish_reason=chosen.finish_reason,
        usage=usage(answered),
        scaling=scaled(answered, ignored, details),
    )


def usage(answered: Answered) -> Usage:
    """The prompt is counted once, whatever samples computed of it (receipt)."""
    decision, spent = answered.decision, answered.spent
    message = decision.chosen.generated.num_tokens
    used = sum(one.generated.num_tokens for one in decision.used)
    completion = spent.generated_tokens + spent.scored_tokens
    return Usage(
        prompt_tokens=answered.prompt,
        completion_tokens=completion,
        total_tokens=answered.prompt + completion,
        prompt_tokens_details=PromptDetails(cached_tokens=_first(decision).generated.cached_tokens),
        completion_tokens_details=CompletionDetails(
            message_tokens=message,
            other_tokens=used - message,
            wasted_tokens=spent.generated_tokens - used,
            scored_tokens=spent.scored_tokens,
        ),
    )


def scaled(answered: Answered, ignored: list[str], details: bool) -> Scaled:
    plan, decision = answered.plan, answered.decision
    compared = plan.kind is not None
    return Scaled(
        policy=plan.policy,
        threshold=plan.threshold,
        give_up=GiveUp(after=plan.give_up[0], below=plan.give_up[1]) if plan.give_up else None,
        budget=plan.budget,
        schedule=plan.schedule if isinstance(plan.schedule, str) else list(plan.schedule),
        order="arrival" if plan.by_arrival else "index",
        kind=plan.kind or "none",
        temperature_kind=plan.drawing.method if plan.drawing.temperature else "greedy",
        temperature=plan.drawing.temperature,
        seed=plan.seed,
        answer=decision.answer if compared else None,
        confidence=decision.confidence,
        mass=_known(decision.chosen.mass),
        share=None if decision.answer is None else decision.weights.get(decision.answer),
        votes=decision.votes if compared else {},
        weights=decision.weights if compared else {},
        samples=Samples(
            started=decision.started,
            finished=decision.finished,
            cancelled=decision.started - decision.finished,
            used=len(decision.used),
        ),
        stop_reason=_reason(decision),
        seconds=answered.seconds,
        receipt=_receipt(answered),
        ignored=ignored,
        details=_details(decision) if details else None,
    )


def _reason(decision: Decision) -> StopReason:
    if decision.reason == "policy":
        return "sure"
    return (
        "no answer" if (decision.answer, decision.reason) == (None, "budget") else decision.reason
    )


def _receipt(answered: Answered) -> Receipt:
    decision, spent = answered.decision, answered.spent
    first = _first(decision).generated
    prompt = answered.prompt - first.cached_tokens
    mean = sum(one.generated.num_tokens for one in decision.used) / len(decision.used)
    # A further sample computes of the prompt what those after the first did on average.
    further = max(0, spent.prompt_tokens - prompt) / max(1, decision.started - 1)
    budget, score = answered.plan.budget, spent.scored_tokens / max(1, decision.finished)
    prompts = spent.prompt_tokens + (budget - decision.started) * further
    full = prompts + budget * (mean + score)
    tokens = spent.prompt_tokens + spent.generated_tokens + spent.scored_tokens
    return Receipt(
        tokens=tokens,
        one_sample=prompt + first.num_tokens,
        cached=spent.cached_tokens,
        full_budget=round(full),
        saved=1 - tokens / full,
    )


def _first(decision: Decision) -> Sample:
    return min(decision.used, key=lambda one: one.index)


def _details(decision: Decision) -> list[UsedSample]:
    had: Sequence[float | None] = decision.confidences or [None] * len(decision.used)
    return [
        UsedSample(
            index=one.index,
            text=one.generated.text,
            answer=one.answer,
            p_true=_known(one.p_true),
            mass=_known(one.mass),
            confidence=confidence,
            tokens=one.generated.num_tokens,
            finish_reason=one.generated.finish_reason,
        )
        for one, confidence in zip(decision.used, had, strict=True)
    ]


def _known(score: float) -> float | None:
    """Of a sample that was scored; None of others, whose is NaN."""
    return None if isnan(score) else score
