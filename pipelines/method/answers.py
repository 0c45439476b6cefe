"""The answer in a response, in a canonical form in which equal answers are equal strings.

Kinds of question: `number` (42, 1,234.50, 3/4), `option` (a letter of a multiple-choice
question), `text` (a name or short phrase) and `math` (a formula, which has no canonical form: its
class stands for it, see formulas). Sampling, labels, policies and evaluation all compare these
strings; None is "no answer", equal to nothing.
"""

import re
import unicodedata
from fractions import Fraction
from typing import Literal

from pipelines.method import formulas

Kind = Literal["number", "option", "text", "math"]

# "Answer: B", "**Answer:** B", "the final answer is 7".
_MARKER = re.compile(r"\banswer\b\W{0,4}(?:\bis\b|:)[\s*_:]*", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
# A sign belongs to a number only where no operand stands before it: 5-3 holds 5 and 3.
_NUMBER = re.compile(
    r"(?<![\w.])(?P<sign>(?<![\w)\]][ ])-)?\$?(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+)?"
    r"(?P<frac>\.\d+)?(?:\s*/\s*(?P<denominator>\d+))?"
)
# A lone A before a word is an article ("A train"); any other letter may be followed by one.
_OPTION = re.compile(r"[\s*_\"'(\[]*\(?(?P<letter>[A-J])(?![\w'])(?P<rest>.?[^\n]?)")
_OPTION_ALONE = re.compile(
    r"(?:^|\n)\s*[*_]*\(?(?P<letter>[A-J])\)?[*_]*(?:[.):]|\s*(?:\n|$))|\((?P<inner>[A-J])\)"
)
_SENTENCE_END = re.compile(r"[\n;!?]|\.(?=\s|$)|,(?=\s)| \(|\*\*$")


def extract(text: str, kind: Kind) -> str | None:
    """The canonical answer of a response, or None where it states none.

    A reasoning model's thoughts, up to </think>, are not searched. What follows the last
    "answer:" or stands in the last \\boxed{} wins; a number otherwise is the last one, an
    option the last that stands alone, a text what the first sentence says something "is".
    """
    text = text.rpartition("</think>")[2].strip()
    if kind == "math":
        return _formula(text)
    stated: str | None = None
    for match in _MARKER.finditer(text):
        stated = text[match.end() :]
    for match in _BOXED.finditer(text):
        stated = match[1]
    if kind == "number":
        return _number(stated, last=False) if stated is not None else _number(text, last=True)
    if kind == "option":
        return _option(text, stated)
    return _text(stated) if stated is not None else _text(_complement(text))


def canonical(answer: str, kind: Kind) -> str | None:
    """A bare answer, as a data set states it, in canonical form; None if it is not of the kind."""
    if kind == "number":
        return _number(answer, last=True)
    if kind == "option":
        match = re.fullmatch(r"\s*\(?([A-Ja-j])\)?\.?\s*", answer)
        return match[1].upper() if match else None
    if kind == "math":
        return formulas.clean(answer)
    return _text(answer)


def is_correct(answer: str | None, reference: str, kind: Kind) -> bool:
    """Whether an extracted answer is the reference, or one of its spellings: "Kyiv|Kiev"."""
    if answer is None:
        return False
    if kind == "math":
        known = canonical(reference, kind)
        return known is not None and (answer == known or formulas.equal(answer, known))
    accepted = reference.split("|") if kind == "text" else [reference]
    return answer in {canonical(one, kind) for one in accepted}


def _formula(text: str) -> str | None:
    """The content of the last \\boxed{}, or the rest of the line after the last marker."""
    start = text.rfind(r"\boxed{")
    if start < 0:
        stated = [text[match.end() :] for match in _MARKER.finditer(text)]
        return formulas.clean(stated[-1].partition("\n")[0]) if stated else None
    start += len(r"\boxed{")
    depth = 1
    for place in range(start, min(len(text), start + formulas.LONGEST)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return formulas.clean(text[start:place])
    return None


def _number(text: str, *, last: bool) -> str | None:
    found = [m for m in _NUMBER.finditer(text) if m["whole"] or m["frac"]]
    for match in reversed(found) if last else found:
        value = Fraction((match["whole"] or "0").replace(",", "") + (match["frac"] or ""))
        if match["denominator"] is not None:
            if int(match["denominator"]) == 0:
                continue
            value /= int(match["denominator"])
        value = -value if match["sign"] else value
        return _show(value)
    return None


def _show(value: Fraction) -> str:
    """18 for 18.0; a finite decimal where there is one (0.5), else a fraction (1/3)."""
    if value.denominator == 1:
        return str(value.numerator)
    places, rest = 0, value.denominator
    for prime in (2, 5):
        power = 0
        while rest % prime == 0:
            rest, power = rest // prime, power + 1
        places = max(places, power)
    if rest != 1:
        return str(value)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def _option(text: str, stated: str | None) -> str | None:
    if stated is not None:
        match = _OPTION.match(stated)
        if match is None:
            return None
        article = match["letter"] == "A" and re.match(r"\s\w", match["rest"])
        return None if article else match["letter"]
    found = list(_OPTION_ALONE.finditer(text))
    return (found[-1]["letter"] or found[-1]["inner"]) if found else None


def _complement(text: str) -> str:
    """What a first sentence names: "The capital of X is Y." and "Y is the capital of X." give Y."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    subject, verb, rest = first.partition(" is ")
    if not verb:
        return first
    return subject if re.match(r"(the|a|an)\b.*\b(of|for|in)\b", rest, re.IGNORECASE) else rest


def _text(text: str) -> str | None:
    text = text.strip().strip("*_\"'` ")
    text = _SENTENCE_END.split(text, maxsplit=1)[0] if text else ""
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in plain if not unicodedata.combining(c)).casefold()
    plain = re.sub(r"[^\w\s+]|_", " ", plain.replace(".", ""))
    words = plain.split()
    if words[:1] == ["the"]:
        words = words[1:]
    return " ".join(words) or None
