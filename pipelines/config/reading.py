"""A config from a YAML file and `--set key=value`; what is wrong with it, in one line."""

import reprlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pipelines.config import yaml12
from pipelines.config.sections import Config, nearest


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
    for override in overrides or []:
        yaml12.set_key(raw, override)
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ValueError(_explain(error)) from None


_MESSAGES = {  # where pydantic speaks of Python
    "model_type": "expected keys and values",
    "tuple_type": "expected a list",
    "invalid_key": "a key is a text",
}
_SHORT = reprlib.Repr()
_SHORT.maxstring, _SHORT.maxother, _SHORT.maxlevel = 80, 80, 2


def _explain(error: ValidationError) -> str:
    """The first problem, in one line."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if problem["type"] == "extra_forbidden":
        near = nearest(str(problem["loc"][-1]), _fields_at(problem["loc"][:-1]))
        return f"config: {key} is not a key{near}{more}"
    if problem["type"] == "missing":
        return f"config: {key} is missing{more}"
    message = _MESSAGES.get(problem["type"], problem["msg"]).removeprefix("Value error, ")
    given = problem["input"]
    plain = not isinstance(given, dict | tuple | BaseModel)
    shown = "" if not plain else f", not {_SHORT.repr(given)}"
    return f"config: {key + ': ' if key else ''}{message}{shown}{more}"


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
