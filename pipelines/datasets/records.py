"""The rows of files, each with its place: JSON lines, a JSON array, CSV or Parquet.

The format is told from how a file begins; CSV, which may begin with anything, from its name. Rows
come one after the other, and no file is held but a JSON array, whose text is.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.datasets.sources import FORMATS, Source, files
from pipelines.storage.text import decode, short

Record = tuple[str, dict[str, Any]]  # where it stands, and its fields
Refused = Callable[[ValueError], object]  # is told what is wrong with a row, which is left out

_ROWS_AT_ONCE = 256  # of Parquet


def fail(error: ValueError) -> NoReturn:
    raise error


def read(path: str, refused: Refused = fail) -> Iterator[Record]:
    """The rows of the files that a path names (sources.py).

    Numbers keep the digits that they are written with, as Decimal. ValueError with one line, with
    file and row, where there is no file or none with a row, or one is in no format or is broken;
    refused is told the same of what is wrong with a row alone.
    """
    empty = True

    def noted(error: ValueError) -> None:
        nonlocal empty
        empty = False
        refused(error)

    for source in files(path):
        for record in _rows(source, noted):
            empty = False
            yield record
    if empty:
        raise ValueError(f"{path}: it has no rows")


def _rows(source: Source, refused: Refused) -> Iterator[Record]:
    with source.opened() as data:
        head = data.peek()
        if head[:4] != b"PAR1" and not source.name.endswith(".parquet"):
            yield from _format(head, source.name)(data, source, refused)
            return
    if source.codec is not None:
        raise ValueError(f"{source.shown}: Parquet compresses itself; unpack the file first")
    yield from _parquet(source, refused)


def _format(
    head: bytes, name: str
) -> Callable[[io.BufferedReader, Source, Refused], Iterator[Record]]:
    if name.endswith(".csv"):
        return _csv
    return _array if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[" else _lines


def _lines(data: io.BufferedReader, source: Source, refused: Refused) -> Iterator[Record]:
    # Cut at \n alone: JSON allows other line separators within a string.
    for number, line in enumerate(data, start=1):
        if not line.strip():
            continue
        place = f"{source.shown}, row {number}"
        try:
            text = decode(line, source.shown, "row", before=number - 1)
            record = place, _object(_parsed(text, place), place)
        except ValueError as error:
            refused(error)
        else:
            yield record


def _parsed(line: str, place: str) -> Any:
    try:
        return parse(line)
    except ValueError as error:
        raise ValueError(f"{place}: {error}; read are {FORMATS}") from None


def _array(data: io.BufferedReader, source: Source, refused: Refused) -> Iterator[Record]:
    path = source.shown
    text = decode(data.read(), path)
    at, number = _after(text, text.index("[") + 1), 0
    while number or text[at : at + 1] != "]":
        number += 1
        place = f"{path}, row {number}"
        try:
            value, at = _value(text, at)
        except ValueError as error:
            raise ValueError(f"{place} of its array: {error}") from None
        try:
            record = place, _object(value, place)
        except ValueError as error:
            refused(error)
        else:
            yield record
        at = _after(text, at)
        if text[at : at + 1] == "]":
            break
        if text[at : at + 1] != ",":
            raise ValueError(f"{place}: no comma or closing ] of the array follows")
        at = _after(text, at + 1)
    if text[at + 1 :].strip():
        raise ValueError(f"{path}, after row {number}: more follows the array")


def parse(text: str) -> Any:
    """The one JSON value of a text, its numbers as Decimal; ValueError with what is wrong."""
    text = text.strip()
    value, end = _value(text, 0)
    if end != len(text):
        raise ValueError(f"not JSON (Extra data, {_line_and_column(text, end)})")
    return value


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent of more than 18 digits
        return Decimal("nan")


class _TwiceError(ValueError):
    """A key that is there twice, of which json would take the last."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _TwiceError(f"not JSON (key {short(twice)!r} is there twice)")
    return made


_DECODER = json.JSONDecoder(
    parse_float=_number, parse_int=_number, parse_constant=_number, object_pairs_hook=_once
)
_SPACE = " \t\n\r"


def _after(text: str, at: int) -> int:
    while text[at : at + 1] in _SPACE and at < len(text):
        at += 1
    return at


def _value(text: str, at: int) -> tuple[Any, int]:
    """The JSON value at an index, and where it ends."""
    try:
        return _DECODER.raw_decode(text, at)
    except _TwiceError:
        raise
    except json.JSONDecodeError as error:
        place = _line_and_column(text, error.pos)
        raise ValueError(f"not JSON ({error.msg}, {place})") from None
    except RecursionError:
        raise ValueError("not JSON (nested too deeply)") from None


def _line_and_column(text: str, at: int) -> str:
    column = f"column {at - text.rfind(chr(10), 0, at)}"
    return f"line {text.count(chr(10), 0, at) + 1} {column}" if "\n" in text else column


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{place}: expected an object with fields")
    return value


def _csv(data: io.BufferedReader, source: Source, refused: Refused) -> Iterator[Record]:
    path = source.shown
    lines = csv.reader(io.TextIOWrapper(data, "utf-8-sig", newline=""), strict=True)
    csv.field_size_limit(2**31 - 1)  # a field that nobody names may be long
    fields: list[str] = []
    number = 0  # the header's
    try:
        for cells in lines:
            place = f"{path}, row {number} (line {lines.line_num})"
            if not cells:
                continue
            if not fields:
                fields = _header(cells, path)
            elif len(cells) != len(fields):
                told = f"{place}: {len(cells)} cells under {len(fields)} fields"
                refused(ValueError(told))
            else:
                yield place, dict(zip(fields, map(_cell, cells), strict=True))
            number += 1
    except csv.Error as error:
        place = f"{path}, row {number} (line {lines.line_num})"
        raise ValueError(f"{place}: not CSV ({error})") from None
    except UnicodeDecodeError:  # of a part of the file: each line is looked at for the one
        with source.opened() as again:
            for number, line in enumerate(again):
                decode(line, path, before=number)
        raise


def _header(cells: list[str], path: str) -> list[str]:
    fields = [cell.strip() for cell in cells]
    if len(fields) == 1 and (";" in fields[0] or "\t" in fields[0]):
        raise ValueError(f"{path}: its cells are not separated by commas")
    if len(set(fields)) < len(fields):
        raise ValueError(f"{path}: its header names a field twice: {', '.join(fields)}")
    return fields


def _cell(cell: str) -> Any:
    """A cell's text; one that is a JSON list with texts is that list, for CSV has none."""
    if not cell.lstrip().startswith("["):
        return cell
    try:
        value = parse(cell)
    except ValueError:
        return cell
    return value if isinstance(value, list) and any(isinstance(v, str) for v in value) else cell


def _parquet(source: Source, refused: Refused) -> Iterator[Record]:
    path = source.shown
    with source.opened_anywhere() as file:
        try:
            rows = pq.ParquetFile(file)
            names = rows.schema_arrow.names
            if len(set(names)) < len(names):
                raise ValueError(f"{path}: it names a field twice: {', '.join(names)}")
            number = 0
            for batch in rows.iter_batches(_ROWS_AT_ONCE):
                yield from _of_batch(batch, path, number, refused)
                number += batch.num_rows
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: broken Parquet ({' '.join(str(error).split())})") from None


def _of_batch(batch: pa.RecordBatch, path: str, before: int, refused: Refused) -> Iterator[Record]:
    """before: the rows that come before it in its file."""
    whole: list[dict[str, Any]] | None = None
    with suppress(ValueError):  # then it is looked for, row by row
        whole = batch.to_pylist()
    for number in range(batch.num_rows):
        place = f"{path}, row {before + number + 1}"
        try:
            record = whole[number] if whole else batch.slice(number, 1).to_pylist()[0]
        except ValueError as error:
            refused(ValueError(f"{place}: it cannot be read ({error})"))
            continue
        yield place, {field.name: _exact(record[field.name], field.type) for field in batch.schema}


def _exact(value: Any, kind: pa.DataType) -> Any:
    """A value whose floats have the digits that tell them from their neighbours of that width."""
    if value is None:
        return None
    if pa.types.is_floating(kind):
        return _number(str(kind.to_pandas_dtype()(value)))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return [_exact(one, kind.value_type) for one in value]
    if pa.types.is_struct(kind):
        return {field.name: _exact(value[field.name], field.type) for field in kind}
    return value
