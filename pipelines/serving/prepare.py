"""A chat request as the engine is asked: its model, how samples are spent, the prompt's ids."""

import secrets
from dataclasses import dataclass, replace
from typing import Any

from pipelines.config import Config
from pipelines.config.serving import PRESETS, Choice
from pipelines.engine.protocol import Drawing
from pipelines.method.prompts import Prompts
from pipelines.serving.chat import EFFORTS, ChatRequest
from pipelines.serving.errors import RequestError
from pipelines.serving.scaling import Plan, plan
from pipelines.serving.served import Served


@dataclass(frozen=True)
class Prepared:
    """name: the model's as the request has it; model: without a preset. ignored: fields of the
    request."""

    name: str
    model: str
    plan: Plan
    prompt_ids: list[int]
    ignored: list[str]


def prepare(config: Config, served: Served, prompts: Prompts, request: ChatRequest) -> Prepared:
    """RequestError where this server cannot do what is asked."""
    ignored = request.ignored()
    model, preset = _named(served, request)
    seed = request.seed if request.seed is not None else request.scaling.seed
    made = plan(
        config,
        preset,
        request.scaling,
        request.question,
        _drawing(config, request),
        secrets.randbits(31) if seed is None else seed,
        served.curves.get(model, {}),
    )
    prompt_ids = _prompt_ids(config, prompts, request, made.drawing.max_tokens)
    return Prepared(request.model or model, model, made, prompt_ids, ignored)


def _named(served: Served, request: ChatRequest) -> tuple[str, Choice]:
    """The model that a request asks for, and the preset: its name's, or its effort's."""
    name, _, preset = (request.model or "").partition(":")
    name = name or served.default
    if name not in served.names or (preset and preset not in PRESETS):
        ends = ", ".join(f":{one}" for one in PRESETS)
        raise RequestError(
            404,
            f"model: {request.model!r} is none of {', '.join(served.names)}, alone or with one of "
            f"{ends}",
            "model",
            "model_not_found",
        )
    preset = preset or EFFORTS[request.reasoning_effort] or ""
    return name, PRESETS.get(preset, Choice())


def _drawing(config: Config, request: ChatRequest) -> Drawing:
    """As evaluation draws, but for what the request says."""
    own: dict[str, Any] = {
        "max_tokens": request.max_completion_tokens or request.max_tokens,
        "temperature": request.temperature,
        "method": request.scaling.temperature_kind,
        "top_p": request.top_p,
    }
    chosen = {name: value for name, value in own.items() if value is not None}
    try:
        return replace(Drawing.of(config.answering), **chosen, stop=request.stops)
    except ValueError as error:
        param = str(error).partition(":")[0]
        raise RequestError(400, f"{error} (scaling.temperature_kind)", param) from None


def _prompt_ids(
    config: Config, prompts: Prompts, request: ChatRequest, max_tokens: int
) -> list[int]:
    messages = [
        {"role": "system" if one.role == "developer" else one.role, "content": one.text}
        for one in request.messages
    ]
    try:
        prompt_ids = prompts.chat_ids(messages)
    except ValueError as error:
        why = f"the model's chat template does not take them ({error.__cause__})"
        raise RequestError(400, f"messages: {why}", "messages") from None
    most = config.engine.max_model_len
    if len(prompt_ids) > (room := prompts.room(most, max_tokens)):
        raise RequestError(
            400,
            f"messages: their prompt has {len(prompt_ids)} tokens, and {max(0, room)} fit beside a "
            f"response of {max_tokens} (max_completion_tokens) in this server's {most} "
            "(engine.max_model_len)",
            "messages",
            "context_length_exceeded",
        )
    return prompt_ids
