"""Types of the config's values, beyond YAML's own: what else each of them must be."""

import datetime
import difflib
import re
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from pipelines.storage.text import flaw, short


def _plain(text: str) -> str:
    if not text.strip():
        raise ValueError("expected some text")
    if (found := flaw(text)) is not None:
        raise ValueError(f"expected text without {found}")
    return text


def _uri(text: str) -> str:
    if variable := re.search(r"\$([A-Za-z_]\w*|\{.*?\})", text):
        raise ValueError(
            f"{variable[0]} would stay as it is written, for a config has no variables; write its "
            "value, or pass --set from a shell, which replaces it"
        )
    try:
        Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{text}: there is no such user's home") from None
    return text


def _date(value: Any) -> Any:
    """A date of its ISO text; a number is no date, though pydantic would take it for seconds."""
    try:
        return datetime.date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return value  # refused as what it is


def _template(text: str) -> str:
    """Fields stand in braces by their bare names; braces that stand for themselves are doubled."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"{error}; a brace that stands for itself is doubled") from None
    for _, name, form, conversion in parts:
        if name == "" or form or conversion:
            raise ValueError("expected the bare name of a field in braces, as {question}")
    return text


def fields_of(template: str) -> list[str]:
    """The fields that a template names."""
    return [name for _, name, _, _ in Formatter().parse(template) if name is not None]


def nearest(word: str, choices: Any) -> str:
    return meant(word, choices) or f"; valid: {', '.join(choices)}"


def meant(word: str, choices: Any) -> str:
    """The one that a wrong word is near to, as messages ask for it; "" where it is near none."""
    close = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def some(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("expected one or more")
    return values


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ValueError(f"{short(repr(value))} is there twice")
    return values


Unit = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Text = Annotated[str, AfterValidator(_plain)]
Uri = Annotated[Text, AfterValidator(_uri)]  # or a path
Template = Annotated[Text, AfterValidator(_template)]
T = TypeVar("T")
Several = Annotated[tuple[T, ...], Field(strict=False)]  # from YAML's lists
Some = Annotated[Several[T], AfterValidator(some)]
Different = Annotated[Several[T], AfterValidator(_distinct)]
Distinct = Annotated[Some[T], AfterValidator(_distinct)]
Date = Annotated[datetime.date, BeforeValidator(_date)]
