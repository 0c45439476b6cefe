"""The answer in a response, in a canonical form in which equal answers are equal strings.

Kinds of question: `number` (42, 1,234.50, 3/4), `option` (a letter of a multiple-choice question),
`text` (a name or short phrase) and `math` (a formula, which has no canonical form: its class stands
for it, see formulas). Sampling, labels, policies and evaluation all compare these strings; None is
"no answer", equal to nothing. A wrong vote is worse than a lost one: what can be read in two ways
is not read.

A response is read in three steps: its thoughts are left out, what it states is found
(statements.py), and the last statement that can be read as the kind is the answer. Where it states
nothing, a number is the one that the last sentence with any is about, an option the one letter
that stands alone, a text the yes or no that it begins with, else what a sentence names, a formula
the last that is marked as one.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from pipelines.method import formulas
from pipelines.method.answers import formula, number, option, phrase, said, statements, working
from pipelines.method.answers.denial import refuses
from pipelines.method.answers.folding import folded
from pipelines.method.answers.quantity import whole

Kind = Literal["number", "option", "text", "math"]
# Stands between several references in one string. Formulas and worked solutions have bars.
SEPARATORS: dict[Kind, str] = {"text": "|", "number": "␟", "math": "␟"}


def extract(
    text: str,
    kind: Kind,
    finish_reason: str = "stop",
    choices: Sequence[str] | None = None,
) -> str | None:
    """The canonical answer of a response, or None where it states none.

    finish_reason: "length" where the response was cut at the token limit; then only what it
    states counts, and what it names by the way does not. choices: the texts of a question's
    options, in their order; an answer may be one of them, and no letter beyond them is one.
    """
    reply = said.after_thoughts(text)
    if reply is None:
        return None
    parts = said.parts(said.ends(reply))
    for place, part in enumerate(parts, start=1):
        cut = finish_reason == "length" and place == len(parts)
        if (answer := _read(part, kind, cut, choices)) is not None:
            return answer
    return None


def _read(text: str, kind: Kind, cut: bool, choices: Sequence[str] | None) -> str | None:
    if cut:  # a word or a number that the cut went through may be the beginning of any other
        finished = {"number": number.finished, "text": phrase.finished, "math": formula.finished}
        text = finished.get(kind, str)(text)
    found = statements.find(text)
    if kind == "option":
        found = [one for one in found if not option.lists(text, one.place)]
        found = sorted([*found, *option.chosen(text, choices)])
    elif kind == "number":
        found = [*number.bare(text), *found]
    elif kind == "text" and (decided := phrase.decided(text)):
        rest = [one for one in found if one.exact or not phrase.judges(one.text)]
        found = [statements.Statement(0, decided), *rest]
    if kind in ("number", "math"):
        found = [one for one in found if one.exact or not working.is_step(one.text, weak=one.weak)]
    for one in reversed(found):
        if one.denied:
            continue
        if (answer := _stated(one, kind, choices)) is not None:
            return answer
        if (one.exact and not one.text) or refuses(one.text.partition("\n")[0][:100]):
            return None
    if any(one.denied or _is_one(one.text, kind) for one in found):
        return None  # it states something, and not what can be read
    if kind == "text":
        return phrase.named(text)
    if cut:
        return None
    if kind == "option":
        return option.alone(text, choices)
    if kind == "math":
        return formula.last(text)
    return number.last(text)


def canonical(answer: str, kind: Kind) -> str | None:
    """A bare answer, as a data set states it, in canonical form; None if it is not of the kind.

    Nothing of it is cut off: lists, times and expressions are no numbers. A worked solution, which
    states its result in a box or after a marker, is read as a response is.
    """
    if kind == "text":
        return folded(answer)
    if kind == "math":
        return extract(answer, kind) if statements.find(answer) else formulas.clean(answer)
    value = option.label(answer) if kind == "option" else whole(answer)
    if value is None and statements.find(answer):
        value = extract(answer, kind)
    return value


def references(reference: str, kind: Kind) -> list[str]:
    """The answers that are right by a reference, which is several of them or one: "Kyiv|Kiev"."""
    return reference.split(SEPARATORS[kind]) if kind in SEPARATORS else [reference]


def is_correct(answer: str | None, reference: str, kind: Kind) -> bool:
    """Whether an extracted answer is the reference, or one of several."""
    if answer is None:
        return False
    accepted = _accepted(reference, kind)
    if kind == "math" and answer not in accepted:
        return any(formulas.equal(answer, one) for one in accepted)
    return answer in accepted


@lru_cache(maxsize=4096)
def _accepted(reference: str, kind: Kind) -> frozenset[str]:
    read = (canonical(one, kind) for one in references(reference, kind))
    return frozenset(one for one in read if one is not None)


def _stated(one: statements.Statement, kind: Kind, choices: Sequence[str] | None) -> str | None:
    if kind == "number":
        return number.stated(one.text, exact=one.exact, comma=one.comma)
    if kind == "option":
        return option.stated(one.text, choices)
    if kind == "math":
        return formula.stated(one.text, exact=one.exact)
    said = phrase.stated(one.text, exact=one.exact)
    return said or (None if one.exact else phrase.decided(one.text))  # "no, for it does not say"


def _is_one(text: str, kind: Kind) -> bool:
    """Whether something of the kind stands in a statement that could not be read."""
    if kind == "number":
        return number.mentioned(text)
    return option.mentioned(text) if kind == "option" else bool(text.strip())
