"""Two formulas compared by math-verify. Runs as a process of its own: see workers.py.

echo '["\\\\frac{1}{2}", "0.5"]' | python -m pipelines.method.formulas.algebra 3
"""

import cmath
import json
import logging
import os
import random
import re
import resource
import signal
import sys
from functools import lru_cache
from typing import Any

from math_verify import LatexExtractionConfig, parse, verify
from sympy import (
    Basic,
    Equality,
    Expr,
    FiniteSet,
    Float,
    Integer,
    Interval,
    Rational,
    Symbol,
    Tuple,
    UnevaluatedExpr,
    Union,
    nan,
    simplify,
    zoo,
)
from sympy.core.random import seed
from sympy.core.relational import GreaterThan, LessThan, StrictGreaterThan, StrictLessThan

from pipelines.method.formulas.notation import latex

_MEMORY = 1 << 30  # bytes of a process: a number of a billion digits is written quickly

_OR = re.compile(r"\\(?:text|mathrm|textrm)\{\s*or\s*\}|\bor\b|\\lor\b|\\vee\b")
_EQUALS = re.compile(r"(?<![<>!:=])=(?!=)")
_SEVERAL = re.compile(  # but not the commas of 1,000
    r"(?<!\\)(?:;|,(?!\d{3}(?!\d)))|[<>≤≥≠≈]|\band\b"
    r"|\\(?:leq?|geq?|lt|gt|neq?|approx|equiv|q?quad|Rightarrow|implies|iff|land)(?![A-Za-z])"
)
_NUMERAL = re.compile(r"[-+\s]*[\d.,]+\s*")
_BASE = re.compile(r"\d[\dA-F.]*\}?_\s*\{?(\d+)\}?")  # 1011_2, 1A_{16}
_ROUNDING = 1e-6  # of a decimal to what it stands for: 0.333333 is 1/3


@lru_cache(maxsize=1 << 12)
def read(text: str) -> Any:
    """A SymPy expression or matrix; None for what is not read."""
    source = latex(text)
    if source is None:
        return None
    parts = [_parse(part) for part in _OR.split(source)]
    if len(parts) == 1:
        return parts[0]
    if _inequalities(parts):
        return Union(*(part.as_set() for part in parts))  # x < -1 or x > 1
    return _parse(source)


def _parse(source: str) -> Any:
    # Between dollars it takes all of the formula or nothing; no time limit of its own.
    config = [LatexExtractionConfig()]
    found = parse(f"${source}$", config, "no_fallback", parsing_timeout=None)
    return found[0] if found and found[0] not in (nan, zoo) else None


@lru_cache(maxsize=1 << 12)
def result(text: str) -> str:
    """The last member of equalities that work out a value: 5 of \\sqrt{9+16} = \\sqrt{25} = 5.

    Other equations (x + y = 7, y = 2x) stay what they are.
    """
    *_, before, last = ["", *_members(text)]
    if not before or _NUMERAL.fullmatch(before) or _SEVERAL.search(text) or _OR.search(text):
        return text
    return last if _is_value(before) and _is_value(last) else text


def _members(text: str) -> list[str]:
    """What stands on the sides of the equals signs that are in no braces or brackets."""
    members, start = [], 0
    for match in _EQUALS.finditer(text):
        member = text[start : match.start()]
        if all(member.count(one) == member.count(other) for one, other in ("{}", "()", "[]")):
            members.append(member.strip())
            start = match.end()
    return [*members, text[start:].strip()]


def _is_value(text: str) -> bool:
    found = read(text)
    return isinstance(found, Expr) and not found.free_symbols


def compare(first: str, second: str) -> bool | None:
    """Whether two formulas are equal, whichever comes first; None where one is not read.

    One alone, given twice, is also compared with another: can it be worked with?
    """
    first, second = result(first), result(second)
    a, b = read(first), read(second)
    if a is None or b is None:
        return None
    if first == second:
        _verify(a, Integer(0))
        return True
    bases = [set(_BASE.findall(text)) for text in (first, second)]
    if all(bases) and bases[0] != bases[1]:
        return False
    if _a_list_and_a_set(first, a, second, b) or _differ(a, b):
        return False
    if (multiples := _multiples(a, b)) is not None:
        return multiples
    # It compares a symbol by its name: x is not 1x.
    by_name = isinstance(a, Symbol) != isinstance(b, Symbol)
    if by_name and isinstance(a, Expr) and isinstance(b, Expr) and _verify(Integer(0), a - b):
        return True
    if _verify(a, b) and _verify(b, a):
        return not _apart(a, b)
    return bool(_inequalities([a, b]) and a.as_set() == b.as_set())  # 2x < 6 and x < 3


def _values(a: Any, b: Any) -> list[tuple[complex, complex]] | None:
    """What two expressions are at some fixed points; None where they have no values there."""
    if not isinstance(a, Expr) or not isinstance(b, Expr):
        return None
    values = []
    for point in range(3):
        draws = random.Random(point)
        symbols = sorted(a.free_symbols | b.free_symbols, key=str)
        at = {symbol: Rational(draws.randint(500, 2000), 1000) for symbol in symbols}
        try:
            values.append((complex(a.evalf(subs=at)), complex(b.evalf(subs=at))))
        except (TypeError, ValueError, ArithmeticError, NotImplementedError):  # as of f(x)
            return None
    return values if all(cmath.isfinite(one) for pair in values for one in pair) else None


def _differ(a: Any, b: Any) -> bool:
    """Whether two expressions have other values somewhere: far sooner found than by algebra."""
    words_or_percent = any(isinstance(one, Symbol) or _has(one, UnevaluatedExpr) for one in (a, b))
    values = None if words_or_percent else _values(a, b)
    return values is not None and not all(_near(*pair, 10 * _ROUNDING) for pair in values)


def _multiples(a: Any, b: Any) -> bool | None:
    """Whether an equation is a multiple of another; None where math-verify has to say."""
    if not isinstance(a, Equality) or not isinstance(b, Equality):
        return None
    if a.free_symbols != b.free_symbols or not a.free_symbols:
        return None
    if not all(isinstance(side, Expr) for one in (a, b) for side in one.args):
        return None
    one, other = a.lhs - a.rhs, b.lhs - b.rhs
    values = _values(one, other)
    if values is None or not all(all(pair) for pair in values):
        return None
    ratios = [above / below for above, below in values]
    if not all(_near(ratio, ratios[0], 10 * _ROUNDING) for ratio in ratios):
        return False
    return True if simplify(one / other).is_number else None


def _near(one: complex, other: complex, share: float) -> bool:
    return abs(one - other) <= share * max(abs(one), abs(other))


def _has(found: Any, kind: type) -> bool:
    return isinstance(found, Basic) and found.has(kind)


def _inequalities(found: list[Any]) -> bool:
    """Whether all are, of one and the same symbol; != is none."""
    kinds = (StrictLessThan, LessThan, StrictGreaterThan, GreaterThan)
    if not all(isinstance(one, kinds) for one in found):
        return False
    return len(set().union(*(one.free_symbols for one in found))) == 1


def _verify(gold: Any, target: Any) -> bool:
    return verify(gold, target, allow_set_relation_comp=True, timeout_seconds=None)


def _a_list_and_a_set(first: str, a: Any, second: str, b: Any) -> bool:
    """Whether they are as (1, 2) and \\{1, 2\\}: 1, 2 may be either, but not one the other."""
    return any(
        re.match(r"(\\left)?\\\{", text) and isinstance(its, FiniteSet) and ordered
        for text, its, ordered in (
            (first, a, isinstance(b, Interval | Tuple)),
            (second, b, isinstance(a, Interval | Tuple)),
        )
    )


def _apart(a: Any, b: Any) -> bool:
    """Whether two numbers passed for equal by being small: decimals are rounded to six places."""
    if not (_has(a, Float) or _has(b, Float)) or _has(a, Symbol) or _has(b, Symbol):
        return False
    values = _values(a, b)
    return values is not None and not _near(*values[0], _ROUNDING)


def main() -> None:
    """Pairs as lines of JSON in, verdicts as lines of JSON out; the first line says it is ready."""
    limit = float(sys.argv[1])
    verdicts = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # which ends the process
    logging.disable()
    print("true", file=verdicts, flush=True)
    for stream in (sys.stdout, sys.stderr):  # of what the grammar has to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    for line in sys.stdin:
        first, second = json.loads(line)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Alone within half of it, so that what takes long is found out before it is compared.
        signal.setitimer(signal.ITIMER_PROF, limit / 2 if first == second else limit)
        seed(0)
        try:
            verdict = compare(first, second)
        except Exception:  # the grammar and SymPy raise whatever there is
            verdict = None if first == second else False
        signal.setitimer(signal.ITIMER_PROF, 0)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
        if memory * 1024 > _MEMORY // 2:  # SymPy goes on after a MemoryError
            return
        print(json.dumps(verdict), file=verdicts, flush=True)


if __name__ == "__main__":
    main()
