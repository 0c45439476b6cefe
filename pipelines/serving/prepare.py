"""A request as the engine is asked: its model, and how samples are spent."""

import secrets
import time
from dataclasses import replace
from typing import Any

from pipelines.config import Config
from pipelines.engine.protocol import Drawing
from pipelines.serving.errors import RequestError
from pipelines.serving.request import EFFORTS, Request
from pipelines.serving.scaling import PRESETS, Scaling, plan
from pipelines.serving.served import Served
from pipelines.serving.wire import Asked
from pipelines.storage.text import short


def prepare(config: Config, served: Served, request: Request) -> Asked:
    """RequestError where this server cannot do what is asked."""
    ignored = request.ignored()
    model, preset = _named(served, request)
    seed = request.scaling.seed if request.seed is None else request.seed
    made = plan(
        config,
        preset,
        request.scaling,
        request.question,
        _drawing(config, request),
        # Drawn here, so that whichever replica answers draws the same.
        secrets.randbits(31) if seed is None else seed,
        served.curves.get(model, {}),
    )
    return Asked(
        model,
        made,
        request.asks,
        request.most_tokens is not None,
        ignored,
        request.scaling.details,
        time.time(),
    )


def _named(served: Served, request: Request) -> tuple[str, Scaling]:
    """The model that a request asks for, and the preset: its name's, or its effort's."""
    name, _, preset = (request.model or "").partition(":")
    name = name or served.default
    if name not in served.names or (preset and preset not in PRESETS):
        raise no_model(served, request.model or "")
    preset = preset or EFFORTS[request.reasoning_effort] or ""
    return name, PRESETS.get(preset, Scaling())


def no_model(served: Served, name: str) -> RequestError:
    """Of a name that none has."""
    ends = ", ".join(f":{one}" for one in PRESETS)
    return RequestError(
        404,
        f"model: {short(name)!r} is none of {', '.join(served.names)}, alone or with one of {ends}",
        "model",
        "model_not_found",
    )


def _drawing(config: Config, request: Request) -> Drawing:
    """As evaluation draws, but for what the request says."""
    usual = Drawing.of(config.answering)
    own: dict[str, Any] = {
        "max_tokens": _max_tokens(config, request),
        "temperature": request.temperature,
        "method": request.scaling.temperature_kind,
        "top_p": request.top_p,
    }
    if (request.top_p or 1) < 1 and request.scaling.temperature_kind is None:
        own["method"] = "fixed"  # many clients send one, and know of no EDT
    chosen = {name: value for name, value in own.items() if value is not None}
    try:
        return replace(usual, **chosen, stop=request.stops)
    except ValueError as error:
        param = str(error).partition(":")[0]
        raise RequestError(400, f"{error} (scaling.temperature_kind)", param) from None


def _max_tokens(config: Config, request: Request) -> int:
    named, most = request.most_tokens, config.serve.max_output_tokens
    if named is None:
        return min(config.answering.max_tokens, most or config.answering.max_tokens)
    if most is not None and named > most:
        field = "max_tokens" if request.max_completion_tokens is None else "max_completion_tokens"
        line = f"{field}: a sample has {most} tokens at most here (serve.max_output_tokens)"
        raise RequestError(400, line, field)
    return named
