"""The rows of a file, each with its place: JSON lines, a JSON array, CSV or Parquet.

The format is told from how the file begins; CSV, which may begin with anything, from its name.
"""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from pipelines.storage.errors import explain
from pipelines.storage.location import Location
from pipelines.storage.text import decode, short

FORMATS = "JSON lines, a JSON array of rows, CSV (*.csv) or Parquet"
Record = tuple[str, dict[str, Any]]  # where it stands, and its fields


def read(path: str) -> list[Record]:
    """The rows of a local file or of one at a URI.

    Numbers of a file keep the digits that they are written with, as Decimal. ValueError with one
    line, with file and row, where the file is not there, is in no format or is broken.
    """
    data = _bytes(path)
    return list(_format(data, path.lower())(data, path))


def _bytes(path: str) -> bytes:
    location = Location.of(path)
    filesystem = location.filesystem
    try:
        kind = filesystem.get_file_info(location.path).type
        if kind == pafs.FileType.NotFound:
            raise ValueError(f"{path}: there is no such file")
        if kind != pafs.FileType.File:
            raise ValueError(f"{path}: not a file; name one of {FORMATS}")
        with filesystem.open_input_file(location.path) as stream:
            return stream.read()
    except ValueError:
        raise
    except Exception as error:  # each store fails in its own way
        reason = explain(error)
        if isinstance(filesystem, pafs.LocalFileSystem) and isinstance(error, OSError):
            reason = os.strerror(error.errno or 0)
        if reason is None:
            raise
        raise ValueError(f"{path}: it cannot be read ({reason})") from None


def _format(data: bytes, name: str) -> Callable[[bytes, str], Iterator[Record]]:
    if data[:4] == b"PAR1" or name.endswith(".parquet"):
        return _parquet
    if name.endswith(".csv"):
        return _csv
    return _array if data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[" else _lines


def _lines(data: bytes, path: str) -> Iterator[Record]:
    # Not splitlines: that also cuts at line separators within a string, which JSON allows.
    for number, line in enumerate(decode(data, path, "row").split("\n"), start=1):
        if line.strip():
            place = f"{path}, row {number}"
            try:
                value = parse(line)
            except ValueError as error:
                raise ValueError(f"{place}: {error}; read are {FORMATS}") from None
            yield place, _object(value, place)


def _array(data: bytes, path: str) -> Iterator[Record]:
    text = decode(data, path)
    at, number = _after(text, text.index("[") + 1), 0
    while number or text[at : at + 1] != "]":
        number += 1
        place = f"{path}, row {number}"
        try:
            value, at = _value(text, at)
        except ValueError as error:
            raise ValueError(f"{place} of its array: {error}") from None
        yield place, _object(value, place)
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


def _csv(data: bytes, path: str) -> Iterator[Record]:
    lines = csv.reader(io.StringIO(decode(data, path), newline=""), strict=True)
    csv.field_size_limit(2**31 - 1)  # a field that nobody names may be long
    fields: list[str] = []
    number = 0  # the header's
    try:
        for cells in lines:
            place = f"{path}, row {number} (line {lines.line_num})"
            if not cells:
                continue
            if not fields:
                fields = [cell.strip() for cell in cells]
                if len(fields) == 1 and (";" in fields[0] or "\t" in fields[0]):
                    raise ValueError(f"{path}: its cells are not separated by commas")
                if len(set(fields)) < len(fields):
                    raise ValueError(f"{path}: its header names a field twice: {', '.join(fields)}")
            elif len(cells) != len(fields):
                raise ValueError(f"{place}: {len(cells)} cells under {len(fields)} fields")
            else:
                yield place, dict(zip(fields, map(_cell, cells), strict=True))
            number += 1
    except csv.Error as error:
        place = f"{path}, row {number} (line {lines.line_num})"
        raise ValueError(f"{place}: not CSV ({error})") from None


def _cell(cell: str) -> Any:
    """A cell's text; one that is a JSON list with texts is that list, for CSV has none."""
    if not cell.lstrip().startswith("["):
        return cell
    try:
        value = parse(cell)
    except ValueError:
        return cell
    return value if isinstance(value, list) and any(isinstance(v, str) for v in value) else cell


def _parquet(data: bytes, path: str) -> Iterator[Record]:
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read()
        names = table.column_names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: broken Parquet ({' '.join(str(error).split())})") from None
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: it names a field twice: {', '.join(names)}")
    for number in range(table.num_rows):
        place = f"{path}, row {number + 1}"
        try:
            (record,) = table.slice(number, 1).to_pylist()
        except ValueError as error:
            raise ValueError(f"{place}: it cannot be read ({error})") from None
        yield place, {field.name: _exact(record[field.name], field.type) for field in table.schema}


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
