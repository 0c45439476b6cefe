"""Kind `number`: the number that a response states, else the one that it ends with."""

import re
from collections.abc import Iterator
from fractions import Fraction

from pipelines.method.answers.denial import begins_denied, refuses
from pipelines.method.answers.numerals import Found, numbers, prepared
from pipelines.method.answers.quantity import CODE, whole, words
from pipelines.method.answers.said import before, tail
from pipelines.method.answers.statements import Statement
from pipelines.method.answers.topic import topic
from pipelines.method.answers.working import ASIDE, SENTENCE

_REASON = re.compile(
    r"[,\s(]\s*(?:because|since|as|for|pues|porque|parce|weil|denn|given|where|which|so)\b"
)
_STEPS = re.compile(r"\(?1[.)]\s[^\n]*\n\s*\(?2[.)]\s")  # what follows is a list
_OPERATION = re.compile(
    r"(?!\*\*(?:[\s.,;:)]|\Z))"  # where bold type ends
    r"\s*(?:[*×·⋅÷^±/=√]|[+-](?=\s*[\w(.$€£√])|x(?=\s*\d)|(?:plus|minus|times|divided|multiplied|over|"
    r"mod|squared|cubed|factorial|remainder)\b|:\s?\d|%?\s?(?:of|in)\s[$€£]?\d)"
)
# "3 or 4", "10, 20", "3-5": more than one number is none.
_ANOTHER = re.compile(
    r"\s*(?:[^\W\d_]+\s*)?(?:,|and|or|&|to|through|und|oder|y|o|et|ou)\s*(?:or|and)?\s*"
    r"[$€£]?-?\d|\s+\d"
    r"|\s*(?:h|hours?|min|minutes?|days?|weeks?|months?|years?|feet|foot|ft|pounds?|lbs?|dollars?|"
    r"meters?|metres?|km)\b,?\s*(?:and\s*)?\d",
    re.IGNORECASE,
)
_LISTED = re.compile(r";\s*[$€£]?-?\d")
_BOUND = re.compile(
    r"\b(?:(?:more|less|fewer|greater|larger|smaller|higher|lower) than|at least|at most|over|"
    r"under|up to|between|from|above|below|no more than|half of|twice|double|triple|third of|"
    r"quarter of)\s*[$€£]?\Z",
    re.IGNORECASE,
)
# "2 out of 3" is a count or a share: the share where it is called one, and else no number where
# it is all that is said. "He got 9 out of 12" is a count.
_SHARE = re.compile(
    r"(?<![\d.,])(?P<part>\d{1,9})\s(?:out\sof|over)\s(?P<all>\d{1,9})"
    r"(?:(?P<called>\s(?:chance|probability|likelihood)\b)|[\s*_.)]*(?:\Z|(?P<more>[,;=≈])))"
)
_CALLED_SHARE = re.compile(
    r"\b(?:probability|chance|likelihood|fraction|proportion)\b"
    r"(?:(?:(?!\sis\s)[^,;.\n]){0,80}\s(?:is|was|be|of))?"
    r"[\s*_(]+\Z",
    re.IGNORECASE,
)
_ALL_THAT_IS_SAID = re.compile(r"(?:\A|[=:→]|\b(?:is|are|was|be|get|gives|equals|of))[\s*_(]*\Z")
_TAIL = 600  # characters in which the last sentence with a number is looked for
_EQUATION = re.compile(r"[\s\d.,+*/×÷x()$-]+=[\s\d.,$-]+")
_DIGIT = re.compile("[\\d½¼¾]")
_BRACKETS = re.compile(r"\([^()\n]*\)|\[[^\[\]\n]*\]")
# What a number is compared with is not the answer.
_BESIDE = re.compile(
    r"\b(?:out of|to reach|instead of|rather than|compared (?:to|with)|more than|less than|"
    r"fewer than|(?:in|since|by) (?:1[5-9]|20)\d\d)\b|±"
)
# "between 10 and 12", "3 hours and 20 minutes", "3 or 4"
_SIDE_BY_SIDE = re.compile(
    r"(?:\s+[^\W\d_]+){0,2}\s+(?:and|or|to|in|und|y|et|bis)\s+(?:[^\W\d]\w{0,3}\s*=\s*)?|\s*:\s*"
    r"|\s+(?:of|over)\s+"
)
# "3 of 4", "3 or 4", "1 in 6"
_GOES_ON = re.compile(
    r"\**(?:\s+(?:of|over|to)|(?:\s+[^\W\d_]+)?\s+(?:or|and))\s+[$€£*]*\d|\s+in\s+\d+\W*\Z"
)
# "x = 3 or x = 4"
_SEVERAL = re.compile(r"=[^=]{0,40}(?:,|;|\bor\b|\band\b)\s*[^\W\d]\w{0,3}\s*=")
_DENIED = re.compile(r",? not\b|\b(?:n['’]t|cannot be|no es|nicht|pas)\b|n['’]t\b|≠|!=|[<>≤≥]|不是")
_MAY_DENY = re.compile(r"[≠!<>≤≥不]|no[te ]|n['’]t|nich|pas")
_IF = re.compile(r"\bif (?:the|my|our) answer\b", re.IGNORECASE)
# A text that breaks off in a clause of its own had more to say.
_BROKEN_OFF = re.compile(r"[,;:]\s+(?:so|and|but|then|which|because|let|now|we)\b[^.!?。\d]*\Z")


def stated(text: str, *, exact: bool, comma: bool) -> str | None:
    """The number of a statement; None where it is none, or more than one."""
    if exact:
        return whole(text)
    text = prepared(text).strip(" \t\n*_\"'`“‘«")
    if begins_denied(text) or _STEPS.match(text):
        return None
    sentence = before(SENTENCE, text)
    if _LISTED.match(text, len(sentence)):
        return None
    sentence = sentence.strip("*_ ")
    if share := _share(sentence):
        return share.value
    if (value := whole(sentence, comma=comma)) is not None:
        return value
    found = list(numbers(sentence, alone=False, comma=comma))
    if not found:
        return words(sentence)
    first = found[0]
    if _BOUND.search(sentence[: first.start]):
        return None
    opening = sentence[: first.start].strip("(*_≈~$")
    if CODE.fullmatch(opening):
        rest = sentence[first.end :]
        if first.value and not _OPERATION.match(rest):
            return None if _ANOTHER.match(rest) else first.value
    clause = before(_REASON, sentence)
    if "=" in clause:
        if _SEVERAL.search(clause):
            return None
        return _value(clause.partition("≈")[0].rpartition("=")[2])
    one = topic(sentence, found)
    return one.value if opening and _plain_end(sentence, one) else None


def bare(text: str) -> Iterator[Statement]:
    """A first line that is a number and nothing else, before an explanation.

    Or one equation, before words without a number: with more of them it is a step.
    """
    line, more, rest = text.partition("\n")
    alone = "=" not in line or (_EQUATION.fullmatch(line) and not _DIGIT.search(rest))
    if more and alone and whole(line) is not None:
        yield Statement(0, line, exact=True)


def mentioned(text: str) -> bool:
    """Whether a statement that could not be read has a number in it, and more than that."""
    text = prepared(text).strip(" \t\n*_\"'`“‘«")
    return not _STEPS.match(text) and any(c.isdigit() for c in before(SENTENCE, text))


def finished(text: str) -> str:
    """A text that was cut, without the number that it may be cut within."""
    words, *last = text.rsplit(maxsplit=1)
    return words if last and any(c.isdigit() for c in last[0]) else text


def last(text: str) -> str | None:
    """The number of a text without a statement: the one that its last such sentence is about."""
    if _BROKEN_OFF.search(text, max(0, len(text) - 200)):
        return None
    hinted = any(hint in text for hint in ("heck", "erif", "ote"))
    aside = ASIDE.search(text) if hinted else None
    if aside and _DIGIT.search(text, 0, aside.start()):
        text = text[: aside.start()]
    text = prepared(tail(text, _TAIL))
    end = len(text)
    for start in reversed([0, *(match.end() for match in SENTENCE.finditer(text))]):
        if _DIGIT.search(text, start, end):
            return _conclusion(text[start:end])
        end = start
    return words(text) if len(text) < 40 else None


def _conclusion(sentence: str) -> str | None:
    """The number that a sentence is about; None where another stands beside it, as in a range, or
    where it is denied."""
    several = sentence.count("=") > 1 and _SEVERAL.search(sentence)
    if several or ("if " in sentence.lower() and _IF.search(sentence)) or refuses(sentence):
        return None
    if _MAY_DENY.search(sentence) and (denied := _DENIED.search(sentence)):
        sentence = sentence[: denied.start()]
    if "(" in sentence or "[" in sentence:
        outside = _BRACKETS.sub(" ", sentence)
        sentence = outside if _DIGIT.search(outside) else sentence
    if share := _share(sentence):
        return share.value
    if (beside := _BESIDE.search(sentence)) and _DIGIT.search(sentence, 0, beside.start()):
        sentence = sentence[: beside.start()]
    found = list(numbers(sentence, alone=False))
    if not found:
        return None
    one = topic(sentence, found)
    place = found.index(one)
    for other in found[max(0, place - 1) : place]:
        between = sentence[other.end : one.start]
        if _SIDE_BY_SIDE.fullmatch(between) or (between.strip(" ") == "-" and _ascends(other, one)):
            return None
    return None if _GOES_ON.match(sentence, one.end) else one.value


def _share(sentence: str) -> Found | None:
    """A share that a sentence ends with or calls one; its value is None where it may be a count."""
    *_, match = [None, *_SHARE.finditer(sentence)]
    if match is None:
        return None
    before = sentence[: match.start()]
    if match["called"] or _CALLED_SHARE.search(before):
        most = int(match["part"]) <= int(match["all"])
        value = whole(f"{match['part']}/{match['all']}") if most else None
    elif not match["more"] and _ALL_THAT_IS_SAID.search(before):
        value = None
    else:
        return None
    return Found(match.start(), match.end(), value)


def _ascends(other: Found, one: Found) -> bool:
    return Fraction(other.value or 0) < Fraction(one.value or 0)


def _value(text: str) -> str | None:
    """The number right after an equals sign."""
    found = next(numbers(text, alone=False), None)
    if found is None or text[: found.start].strip(" *_$("):
        return None
    return found.value if _plain_end(text, found) else None


def _plain_end(text: str, found: Found) -> bool:
    return not _OPERATION.match(text, found.end)
