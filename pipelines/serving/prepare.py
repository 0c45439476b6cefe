"""A request as the engine is asked: its model, how samples are spent, the prompt's ids."""

from dataclasses import dataclass, replace
from typing import Any

from pipelines.config import Config
from pipelines.config.serving import PRESETS, Choice
from pipelines.engine.protocol import Drawing
from pipelines.method.prompts import Prompts
from pipelines.serving.errors import RequestError
from pipelines.serving.request import EFFORTS, Request
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


def prepare(
    config: Config, served: Served, prompts: Prompts, request: Request, seed: int
) -> Prepared:
    """seed: of the draws. RequestError where this server cannot do what is asked."""
    ignored = request.ignored()
    model, preset = _named(served, request)
    made = plan(
        config,
        preset,
        request.scaling,
        request.question,
        _drawing(config, request),
        seed,
        served.curves.get(model, {}),
    )
    prompt_ids = _prompt_ids(config, prompts, request, made.drawing.max_tokens)
    return Prepared(request.model or model, model, made, prompt_ids, ignored)


def _named(served: Served, request: Request) -> tuple[str, Choice]:
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


def _drawing(config: Config, request: Request) -> Drawing:
    """As evaluation draws, but for what the request says."""
    field = "max_tokens" if request.max_completion_tokens is None else "max_completion_tokens"
    own: dict[str, Any] = {
        "max_tokens": getattr(request, field),
        "temperature": request.temperature,
        "method": request.scaling.temperature_kind,
        "top_p": request.top_p,
    }
    chosen = {name: value for name, value in own.items() if value is not None}
    usual = config.answering.max_tokens
    most = config.serve.max_output_tokens or max(usual, chosen.get("max_tokens", usual))
    if chosen.setdefault("max_tokens", min(most, usual)) > most:
        line = f"{field}: a sample has {most} tokens at most here (serve.max_output_tokens)"
        raise RequestError(400, line, field)
    try:
        return replace(Drawing.of(config.answering), **chosen, stop=request.stops)
    except ValueError as error:
        param = str(error).partition(":")[0]
        raise RequestError(400, f"{error} (scaling.temperature_kind)", param) from None


def _prompt_ids(config: Config, prompts: Prompts, request: Request, max_tokens: int) -> list[int]:
    prompt_ids, param = request.prompt_ids(prompts), request.param
    tokens, most = len(prompt_ids), config.engine.max_model_len
    fault = None
    if tokens > (limit := config.serve.max_prompt_tokens or tokens):
        fault = f"and this server takes {limit} (serve.max_prompt_tokens)"
    elif tokens > (room := prompts.room(most, max_tokens)):
        fault = (
            f"and {max(0, room)} fit beside a response of {max_tokens} (max_completion_tokens) in "
            f"this server's {most} (engine.max_model_len)"
        )
    if fault:
        line = f"{param}: the prompt has {tokens} tokens, {fault}"
        raise RequestError(400, line, param, "context_length_exceeded")
    return prompt_ids
