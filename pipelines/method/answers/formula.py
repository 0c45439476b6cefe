"""Kind `math`: the formula that a response states. Which formulas are equal, formulas/ tells."""

import re

from pipelines.method import formulas
from pipelines.method.answers.denial import begins_denied, refuses
from pipelines.method.answers.said import before

_SHORT = 80  # characters of a response that is a formula and nothing else
# What stands between the marks of a formula. Words there are money: "$5 and $6".
_MARKED = re.compile(
    r"\$\$([^$]{1,1000})\$\$|\$(?![^$]{0,40}\s(?:and|or|is|to|the)\s?\$)([^$]{1,1000})\$"
    r"|\\\(((?:(?!\\\)).){1,1000})\\\)|\\\[((?:(?!\\\]).){1,1000})\\\]",
    re.DOTALL,
)
_SENTENCE = re.compile(r"\n\s*\n|[.!?](?=\s|$)")
# What comes after these is said of the formula.
_AFTER = re.compile(r",?\s(?:because|since|as|where|when|which|for|if|with|not)\s")
_WORD = re.compile(r"(?<![\\\w])[^\W\d_]{2,}")
_FORMULA = re.compile(r"[\d=+*/^\\<>√π∞∅∪∩(){}\[\]|]|^\s*\w\s*$")


def stated(text: str, *, exact: bool) -> str | None:
    """The formula of a statement, cleaned; None where it is none, or more than one."""
    if exact:
        return formulas.clean(text)
    text = text.strip(" \t\n*_`\"'")
    if begins_denied(text) or refuses(text):
        return None
    text = before(_AFTER, before(_SENTENCE, text))
    marked = _marked(text)
    if marked:
        return formulas.clean(marked[0]) if len(marked) == 1 else None
    return None if ";" in text else formulas.clean(text.partition("\n")[0].strip("*_` "))


def finished(text: str) -> str:
    """A text that was cut, up to where a line, a sentence or a marked formula ends last."""
    return text[: max(text.rfind(end) + len(end) for end in ("\n", ". ", "$", "\\)", "\\]", "}"))]


def last(text: str) -> str | None:
    """The last formula that a text without a statement marks as one, or all of a short text."""
    if refuses(text):
        return None
    if marked := _marked(text):
        return formulas.clean(marked[-1])
    is_one = len(text) <= _SHORT and _FORMULA.search(text) and len(_WORD.findall(text)) < 3
    return formulas.clean(text) if is_one else None


def _marked(text: str) -> list[str]:
    if "$" not in text and "\\" not in text:
        return []
    return [next(part for part in match.groups() if part) for match in _MARKED.finditer(text)]
