"""Two formulas compared by math-verify. Runs as a process of its own: see workers.py.

echo '["\\\\frac{1}{2}", "0.5"]' | python -m pipelines.method.formulas.algebra 3
"""

import json
import logging
import os
import re
import resource
import signal
import sys
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from math_verify import LatexExtractionConfig, parse, verify
from sympy import Expr, FiniteSet, Float, Integer, Interval, Symbol, Tuple, Union, nan, zoo
from sympy.core.random import seed
from sympy.core.relational import GreaterThan, LessThan, StrictGreaterThan, StrictLessThan

_MEMORY = 1 << 30  # bytes of a process: a number of a billion digits is written quickly

# math-verify reads LaTeX. What people type beside it, as LaTeX:
_SYMBOLS = {
    "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": r"\div ",
    "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "±": r"\pm ", "∞": r"\infty ", "∪": r"\cup ",
    "∩": r"\cap ", "∅": r"\emptyset ", "∈": r"\in ", "ℝ": r"\mathbb{R}", "°": r"^\circ ",
    "⟨": "(", "⟩": ")", "π": r"\pi ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ",
    "γ": r"\gamma ", "δ": r"\delta ", "λ": r"\lambda ", "μ": r"\mu ", "σ": r"\sigma ",
    "φ": r"\phi ", "ω": r"\omega ", "**": "^", r"\langle": "(", r"\rangle": ")",
    "$": "", r"\$": "",
}  # fmt: skip
_SYMBOL = re.compile("|".join(re.escape(one) for one in sorted(_SYMBOLS, key=len, reverse=True)))
_LOWERED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_NAMES = (
    "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp|pi|theta|alpha|beta|"
    "gamma|delta|lambda|mu|sigma|phi|omega"
)
_NAME = re.compile(rf"(?<![\\A-Za-z])({_NAMES})(?![A-Za-z])")
_COMMAND = re.compile(r"\\(?:begin|end)\s*\{\w+\*?\}|\\[A-Za-z]+")
_MOST_WORDS = 4  # "there are no solutions"
_OR = re.compile(r"\\(?:text|mathrm|textrm)\{\s*or\s*\}|\bor\b|\\lor\b|\\vee\b")
_ROUNDING = 1e-6  # of a decimal to what it stands for: 0.333333 is 1/3


def _vulgar(match: re.Match[str]) -> str:
    above, _, below = unicodedata.normalize("NFKC", match[0]).partition("⁄")
    return rf"\frac{{{above}}}{{{below}}}"


def _repeating(match: re.Match[str]) -> str:
    """0.1\\overline{6} as the fraction that it is."""
    whole, fixed, again = match.groups()
    value = int(whole + fixed + again) - int(whole + fixed or 0)
    return rf"\frac{{{value}}}{{{10 ** len(fixed) * (10 ** len(again) - 1)}}}"


_REWRITES: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    ("[¼½¾⅐-⅞]", _vulgar),
    ("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda m: f"^{{{m[0].translate(_LOWERED)}}}"),
    (  # 10\,000
        r"(?<![\w.])(\d{1,3})((?:(?:\\[,;:! ]|\{,\}|[ \u00a0\u2009\u202f])\d{3})+)(?!\d)",
        lambda m: m[1] + re.sub(r"\D", "", m[2]),
    ),
    (r"(?<![\w.])(\d+)[ ]+(\d+)/(\d+)(?![\w.])", r"\1\\frac{\2}{\3}"),  # 2 1/2
    (r"(?<=\d)[eE]([+-]?\d+)(?![\w.])", r"\\times 10^{\1}"),  # 1e-3
    (r"(\d*)\.(\d*)\\(?:overline|bar)\s*\{(\d+)\}", _repeating),
    (r"\^([+-]\s*(?:\d+|[A-Za-z]))", r"^{\1}"),  # x^-1
    (r"(?:\\sqrt|√)\s*\(", "sqrt("),
    (r"√\s*(\d+|[A-Za-z])", r"\\sqrt{\1}"),
    (r"(?<![\\A-Za-z])(?:oo|inf|infty)(?![A-Za-z])", r"\\infty "),
    (  # {x : x > 1} is what holds of x
        r"^\\(?:left\\)?\{\s*[A-Za-z]\s*(?:\\in\s*\\mathbb\s*\{?R\}?)?\s*(?::|\\mid|\||\\vert)"
        r"(.*?)\\(?:right\\)?\}$",
        r"\1",
    ),
    (_NAME.pattern, r"\\\1 "),
]


def latex(text: str) -> str | None:
    """What was typed, as LaTeX; None for a sentence.

    Letters side by side are a product in LaTeX, and so would the letters of words be. Words with
    nothing beside them are an answer in words: `\\text{even}`.
    """
    words = re.findall("[A-Za-z]{3,}", _COMMAND.sub(" ", _NAME.sub(" ", text)))
    if len(words) > _MOST_WORDS:
        return None
    if words and re.fullmatch("[A-Za-z' -]+", text):
        return rf"\text{{{text}}}"
    text = _SYMBOL.sub(lambda m: _SYMBOLS[m[0]], text)
    for pattern, replacement in _REWRITES:
        text = re.sub(pattern, replacement, text)
    return text


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


def compare(first: str, second: str) -> bool | None:
    """Whether two formulas are equal, whichever comes first; None where one is not read.

    One alone, given twice, is also compared with another: can it be worked with?
    """
    a, b = read(first), read(second)
    if a is None or b is None:
        return None
    if first == second:
        _verify(a, Integer(0))
        return True
    if _a_list_and_a_set(first, a, second, b):
        return False
    # It compares a symbol by its name: x is not 1x.
    by_name = isinstance(a, Symbol) != isinstance(b, Symbol)
    if by_name and isinstance(a, Expr) and isinstance(b, Expr) and _verify(Integer(0), a - b):
        return True
    if _verify(a, b) and _verify(b, a):
        return not _apart(a, b)
    return bool(_inequalities([a, b]) and a.as_set() == b.as_set())  # 2x < 6 and x < 3


def _inequalities(found: list[Any]) -> bool:
    """Whether all are, of one and the same symbol; != is none."""
    kinds = (StrictLessThan, LessThan, StrictGreaterThan, GreaterThan)
    if not all(isinstance(one, kinds) for one in found):
        return False
    return len(set().union(*(one.free_symbols for one in found))) == 1


def _verify(gold: Any, target: Any) -> bool:
    return verify(gold, target, allow_set_relation_comp=True, timeout_seconds=None)


def _a_list_and_a_set(first: str, a: Any, second: str, b: Any) -> bool:
    """Whether they are as (1, 2) and \\{1, 2\\}, of which 1, 2 may be either, but not one the other."""
    return any(
        re.match(r"(\\left)?\\\{", text) and isinstance(its, FiniteSet) and ordered
        for text, its, ordered in (
            (first, a, isinstance(b, Interval | Tuple)),
            (second, b, isinstance(a, Interval | Tuple)),
        )
    )


def _apart(a: Any, b: Any) -> bool:
    """Whether two numbers passed for equal by being small: decimals are rounded to six places."""
    if not all(getattr(one, "is_number", False) for one in (a, b)) or not (a - b).has(Float):
        return False
    values = [complex(one.doit().evalf()) for one in (a, b)]
    return abs(values[0] - values[1]) > _ROUNDING * max(map(abs, values))


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
