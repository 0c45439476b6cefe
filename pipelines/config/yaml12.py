"""Plain values from YAML by the core schema of YAML 1.2, which is how people read it.

PyYAML follows 1.1: there 5e-5 is a text, yes is true, 010 is 8, 1:30 is 90, a date is no text,
and of a key that is there twice the last one counts.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from pipelines.storage.text import decode, short


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"key {key.value!r} is there twice", problem_mark=key.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


def _int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(node.value, {"0o": 8, "0x": 16}.get(node.value[:2], 10))


_Loader.yaml_implicit_resolvers = {}  # none of YAML 1.1's
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first
    )
_Loader.add_constructor("tag:yaml.org,2002:int", _int)


def read(path: Path) -> Any:
    """The one document of a file; ValueError in one line, with the file and the line."""
    return parse(decode(path.read_bytes(), str(path)), str(path))


def parse(text: str, where: str) -> Any:
    """A document's value; ValueError in one line that begins with `where`."""
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark is not None and "\n" in text.strip() else ""
        raise ValueError(f"{where}{line}: not YAML ({short(str(error.problem))})") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{where}: not YAML ({short(' '.join(str(error).split()))})") from None
    except (ValueError, KeyError, AttributeError):  # of PyYAML's constructors
        raise ValueError(
            f"{where}: not YAML (a number is too long, or a tag does not fit)"
        ) from None
    except RecursionError:
        raise ValueError(f"{where}: not YAML (it is nested too deeply)") from None


_KEY = re.compile(r"[\w-]+(\.[\w-]+)*")


def set_key(raw: dict[str, Any], override: str) -> None:
    """Applies `dotted.key=value`, whose value is YAML; ValueError in one line with the key alone.

    What stands on a command line may be a password, so no more of it is told.
    """
    key, equals, value = override.partition("=")
    if not equals or not _KEY.fullmatch(key):
        raise ValueError("--set: expected dotted.key=value")
    where = f"--set {short(key)}"
    try:
        parsed = parse(value, where)
    except ValueError:
        raise ValueError(f"{where}: its value is not YAML; put a text in quotes") from None
    node: Any = raw
    *parents, last = key.split(".")
    for part in parents:
        place = _place(node, part, where)
        if isinstance(node, dict):
            node.setdefault(place, {})
        node = node[place]
    node[_place(node, last, where)] = parsed


def _place(node: Any, part: str, where: str) -> Any:
    """The key or index that one part of a dotted key stands for."""
    if isinstance(node, dict):
        return part
    if not isinstance(node, list):
        raise ValueError(f"{where}: above {short(part)} stands a value, not keys")
    if not (part.isascii() and part.isdigit()) or int(part) >= len(node):
        raise ValueError(f"{where}: {short(part)} is no index into {len(node)} entries")
    return int(part)
