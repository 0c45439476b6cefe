"""Whether a prompt fits, and its samples beside it."""

from dataclasses import replace

from pipelines.config import Config
from pipelines.method.prompts import Prompts
from pipelines.serving.errors import RequestError
from pipelines.serving.scaling import Plan
from pipelines.serving.wire import Asked


def fitted(config: Config, prompts: Prompts, asked: Asked) -> tuple[list[int], Plan]:
    """The prompt's ids, and the plan: with shorter samples than usual where the request names no
    length and the usual one does not fit.

    RequestError where nothing does, and where shorter samples break a promise.
    """
    prompt, drawing, most = asked.prompt, asked.plan.drawing, config.engine.max_model_len
    limit = config.serve.max_prompt_tokens or most
    wanted = drawing.max_tokens if asked.named_length else 1
    room = min(limit, prompts.room(most, wanted))
    # Reading a long text takes seconds, and no token is longer than the longest.
    if prompt.size > max(0, room) * prompts.longest_token:
        raise _too_long(prompt.param, f"over {max(0, room)}", room, wanted, config)
    ids = prompt.ids(prompts)
    if len(ids) > room:
        raise _too_long(prompt.param, str(len(ids)), room, wanted, config)
    left = prompts.room(most, 0) - len(ids)
    if asked.plan.promised and left < drawing.max_tokens:
        raise RequestError(
            409,
            f"scaling.target: it was promised for samples of {drawing.max_tokens} tokens, and "
            f"{left} fit beside this prompt; shorten it, or name a threshold",
            "scaling.target",
            "not_calibrated",
        )
    shorter = replace(drawing, max_tokens=min(drawing.max_tokens, left))
    return ids, replace(asked.plan, drawing=shorter)


def _too_long(param: str, tokens: str, room: int, wanted: int, config: Config) -> RequestError:
    if config.serve.max_prompt_tokens == room:
        fault = f"this server takes {room} (serve.max_prompt_tokens)"
    else:
        fault = (
            f"{max(0, room)} fit beside a response of {wanted} (max_completion_tokens) in this "
            f"server's {config.engine.max_model_len} (engine.max_model_len)"
        )
    line = f"{param}: the prompt has {tokens} tokens, and {fault}"
    return RequestError(400, line, param, "context_length_exceeded")
