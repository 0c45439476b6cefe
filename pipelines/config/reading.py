"""A config from a YAML file and `--set key=value`; what is wrong with it, in one line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pipelines.config import yaml12
from pipelines.config.values import nearest
from pipelines.config.whole import Config
from pipelines.storage.text import flaw, short


def load(path: str, overrides: list[str] | None = None) -> Config:
    """Reads a YAML config and applies `dotted.key=value` overrides (values are YAML).

    Raises ValueError with one line for a person: the key, what is wrong, the nearest valid key.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"--config: there is no file {path}")
    try:
        raw = yaml12.read(file)
    except OSError as error:
        raise ValueError(f"--config: {path} cannot be read ({error.strerror})") from None
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: expected keys and values, such as root: runs")
    return _made(raw, overrides or [])


def vary(config: Config, overrides: Sequence[str]) -> Config:
    """The config with `dotted.key=value` overrides, as `load` applies them."""
    return _made(config.model_dump(mode="json"), overrides)


def _made(raw: dict[str, Any], overrides: Sequence[str]) -> Config:
    for override in overrides:
        yaml12.set_key(raw, override)
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ValueError(_explain(error, raw)) from None


_MESSAGES = {  # where pydantic speaks of Python
    "model_type": "expected keys and values",
    "tuple_type": "expected a list",
    "invalid_key": "a key is a text",
}


def _explain(error: ValidationError, raw: Any) -> str:
    """The first problem, in one line."""
    problem = error.errors()[0]
    location = problem["loc"]
    if problem["type"] != "missing":
        location = within(raw, location)
    key = short(".".join(str(part) for part in location))
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if problem["type"] == "extra_forbidden":
        near = nearest(str(location[-1]), _fields_at(location[:-1]))
        return f"config: {key} is not a key{near}{more}"
    if problem["type"] == "missing":
        return f"config: {key} is missing{more}"
    told_as = "invalid_key" if problem["loc"][-1:] == ("[key]",) else problem["type"]
    message = _MESSAGES.get(told_as, problem["msg"])
    if problem["type"] == "value_error":  # it says all
        message = message.removeprefix("Value error, ")
    else:
        message += f", not {_shown(problem['input'])}"
    return f"config: {key + ': ' if key else ''}{message}{more}"


def within(raw: Any, location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The parts of a location that the config has; pydantic adds what it took a value for."""
    parts = []
    for part in location:
        if isinstance(raw, dict | list):
            try:
                raw = raw[part]  # type: ignore[index]
            except (KeyError, IndexError, TypeError):
                continue
            parts.append(part)
    return tuple(parts)


def _shown(value: Any) -> str:
    """A value as messages show it; what may hold a password is not shown."""
    if isinstance(value, str):
        return "a text" if "://" in value or flaw(value) else repr(short(value))
    names = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return names[value]
    if isinstance(value, int | float):
        return short(str(value))
    return "a list" if isinstance(value, list) else "keys and values"


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    """The keys that are valid at a place in the config."""
    model: Any = Config
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        for one in (annotation, *getattr(annotation, "__args__", ())):
            if isinstance(one, type) and issubclass(one, BaseModel):
                model = one
    return list(model.model_fields)
