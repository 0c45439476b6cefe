"""A config from a YAML file and `--set key=value`; what is wrong with it, in one line."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pipelines.config import yaml12
from pipelines.config.values import nearest
from pipelines.config.whole import Config
from pipelines.storage.text import flaw, short

Place = tuple[int | str, ...]  # of a value: keys and indices


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


# Where a value may be of several types, these say what it may be and is not.
_TYPES = {
    "literal_error": "{expected}",
    "string_type": "a text",
    "list_type": "a list",
    "tuple_type": "a list",
}

_MESSAGES = {  # where pydantic speaks of Python
    "model_type": "expected keys and values",
    "tuple_type": f"expected {_TYPES['tuple_type']}",
    "invalid_key": "a key is a text",
}


def problems_of(errors: Sequence[Any], raw: Any) -> tuple[Place, Any, int]:
    """Of pydantic's errors in what was read: the first value's place, its problem in pydantic's
    words, and the number of other values that have errors.

    Of a value that may be of several types there is an error as each of them. What is wrong within
    it says most; else all that it may be is told.
    """
    placed = [(_place(raw, one), one) for one in errors]
    first, kind = placed[0][0], placed[0][1]["type"]
    if kind == "missing":  # as one that is misspelt, which tells more
        extra = [place for place, one in placed if one["type"] == "extra_forbidden"]
        first = next((place for place in extra if place[:-1] == first[:-1]), first)
    own = [(place, one) for place, one in placed if place[: len(first)] == first]
    place, problem = max(own, key=_says)
    types = [
        _TYPES[one["type"]].format(**one.get("ctx", {}))
        for where, one in own
        if where == place and one["type"] in _TYPES
    ]
    if problem["type"] in _TYPES and len(types) > 1:
        *others, last = ", ".join(types).replace(" or ", ", ").split(", ")
        expected = f"expected {', '.join(others)} or {last}"
        problem = problem | {"msg": expected, "type": "of_no_type"}
    places = {one for one, _ in placed}
    wrong = [p for p in places if not any(q != p and q[: len(p)] == p for q in places)]
    return place, problem, len(wrong) - 1


def _explain(error: ValidationError, raw: Any) -> str:
    """The first problem, in one line."""
    location, problem, others = problems_of(error.errors(), raw)
    key = short(".".join(str(part) for part in location))
    more = f" (and {others} more)" if others else ""
    if problem["type"] == "extra_forbidden":
        word = str(location[-1])
        elsewhere = [key for key in _keys(Config) if key.rpartition(".")[2] == word]
        near = nearest(word, _fields_at(location[:-1]))
        if elsewhere:
            near = f"; did you mean {' or '.join(elsewhere)}?"
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


def _says(placed: tuple[Place, Any]) -> tuple[int, bool]:
    """How much an error says; that a field is missing is of what should have it."""
    place, error = placed
    return len(place) - (error["type"] == "missing"), error["type"] not in _TYPES


def _place(raw: Any, error: Any) -> Place:
    """The parts of a location that the config has; pydantic adds what it took a value for."""
    parts = []
    for part in error["loc"]:
        if isinstance(raw, dict | list):
            try:
                raw = raw[part]
            except (KeyError, IndexError, TypeError):
                continue
            parts.append(part)
    missing = error["loc"][-1:] if error["type"] == "missing" else ()
    return (*parts, *missing)


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


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Those of a config, dotted, but for what stands in lists."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _keys(field.annotation, f"{prefix}{name}.")
