"""Kind `math`: the formula that a response states. Which formulas are equal, formulas/ tells."""

import re

from pipelines.method import formulas
from pipelines.method.answers.statements import refuses

_SHORT = 80  # characters of a response that is a formula and nothing else
# What stands between the marks of a formula.
_MARKED = re.compile(
    r"\$\$([^$]{1,1000})\$\$|\$([^$]{1,1000})\$|\\\(((?:(?!\\\)).){1,1000})\\\)"
    r"|\\\[((?:(?!\\\]).){1,1000})\\\]",
    re.DOTALL,
)
_END = re.compile(r"\n|[.;](?=\s|$)|,?\s(?:because|since|as|where|which)\s")
_NOT = re.compile(r"\W{0,9}(?:not|neither|unknown|undefined)\b", re.IGNORECASE)


def stated(text: str, *, exact: bool) -> str | None:
    """The formula of a statement, cleaned; None where it is none."""
    if exact:
        return formulas.clean(text)
    text = text.strip(" \t\n*_`\"'")
    if _NOT.match(text) or refuses(text):
        return None
    if marked := _last_marked(text.partition("\n\n")[0]):
        return marked
    end = _END.search(text, 1)
    return formulas.clean((text[: end.start()] if end else text).strip("*_` "))


def finished(text: str) -> str:
    """A text that was cut, up to where a line, a sentence or a marked formula ends last."""
    return text[: max(text.rfind(end) + len(end) for end in ("\n", ". ", "$", "\\)", "\\]", "}"))]


def last(text: str) -> str | None:
    """The last formula that a text without a statement marks as one, or all of a short text."""
    if refuses(text):
        return None
    return _last_marked(text) or (formulas.clean(text) if len(text) <= _SHORT else None)


def _last_marked(text: str) -> str | None:
    if "$" not in text and "\\" not in text:
        return None
    marked = [next(part for part in match.groups() if part) for match in _MARKED.finditer(text)]
    return formulas.clean(marked[-1]) if marked else None
