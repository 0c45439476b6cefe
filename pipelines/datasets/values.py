"""The values of a row's fields as text."""

import re
from decimal import Decimal
from typing import Any

from pipelines.config.values import meant
from pipelines.datasets.records import Record
from pipelines.method.answers import SEPARATORS, Kind, references
from pipelines.storage.text import flaw, short

_MOST_FIELDS = 20  # that a message names
_MOST_DIGITS = 5_000
_NO_FRACTION = re.compile(r"\.0+\Z")
_SEPARATOR = re.compile("[;\t]")  # of cells, which in CSV are commas


def field(record: Record, name: str) -> Any:
    """A field's value, not null; ValueError with the row, the fields that are there, and the one
    that may be meant."""
    place, fields = record
    if name not in fields:
        there = [" ".join(str(one).split()) for one in fields]
        more = ", ..." if len(there) > _MOST_FIELDS else ""
        within = any(name in (part.strip() for part in _SEPARATOR.split(one)) for one in fields)
        why = ": its cells are not separated by commas" if within else ""
        raise ValueError(
            f"{place}: there is no field {name!r} (fields: {', '.join(there[:_MOST_FIELDS])}{more})"
            f"{why or meant(name, there)}"
        )
    if fields[name] is None:
        raise ValueError(f"{place}: field {name!r} is null")
    return fields[name]


def text_of(value: Any, what: str) -> str:
    """A text without the space around it, or a number in digits without an exponent.

    what: how messages name the value. ValueError where it is anything else, or no clean text.
    """
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = Decimal(str(value))
        if not number.is_finite() or abs(number.adjusted()) > _MOST_DIGITS:
            shown = short(str(value))
            raise ValueError(f"{what} is {shown}, no finite number of up to {_MOST_DIGITS} digits")
        return format(number, "f")
    if not isinstance(value, str):
        raise ValueError(f"{what} is {_kind(value)}, neither text nor a number")
    if not value.strip():
        raise ValueError(f"{what} is empty")
    if (found := flaw(value)) is not None:
        raise ValueError(f"{what} holds {found}")
    return value.strip()


def is_empty(record: Record, name: str) -> bool:
    """Whether a field is there, with nothing in it."""
    _, fields = record
    return name in fields and is_nothing(fields[name])


def is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def several(value: Any, kind: Kind, what: str) -> list[str]:
    """The references in a field: its one, or those of a list."""
    if not isinstance(value, list):
        return [_written(value, kind, what)]
    if not value:
        raise ValueError(f"{what} is an empty list")
    texts = [_written(one, kind, f"{what}, entry {at}") for at, one in enumerate(value, start=1)]
    for text in texts:
        if references(text, kind) != [text]:
            sign = SEPARATORS[kind]
            raise ValueError(f"{what}: {short(text)!r} holds a {sign}, which separates answers")
    return texts


def _written(value: Any, kind: Kind, what: str) -> str:
    """A reference as a text; a whole number of kind text as people write it, 1912 for 1912.0."""
    text = text_of(value, what)
    # A column of integers with a gap is one of floats to pandas.
    return _NO_FRACTION.sub("", text) if kind == "text" and not isinstance(value, str) else text


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    names = {list: "a list", dict: "an object", bytes: "bytes", type(None): "null"}
    return names.get(type(value), f"a {type(value).__name__}")
