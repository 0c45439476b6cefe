"""What people type beside LaTeX (x², √2, 2 1/2, sin(x)) as LaTeX, which math-verify reads."""

import re
import unicodedata
from collections.abc import Callable

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
