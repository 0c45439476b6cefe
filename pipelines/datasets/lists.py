"""Lists of choices in a text: labels, and the text after each."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from pipelines.method.answers.choice import LETTERS

# "(A) one", "A) one", "[A] one", "A. one", "1: one". A list begins at a label with `first`, and a
# choice before one ends at `cut`.
_LABEL = (
    r"(?P<open>[(\[])?(?P<label>[A-Za-z]|[0-9]{1,2})"
    r"(?P<close>(?(open)[)\]]|(?:\)|[.:](?=\s))))[ \t]*"
)
_AT_A_LINE = re.compile(rf"(?P<first>)(?P<cut>)^[ \t]*(?:[-*][ \t]+)?{_LABEL}", re.MULTILINE)
_ANYWHERE = re.compile(rf"(?P<first>)(?P<cut>)(?<!\S){_LABEL}")
# "Which? (A) one (B) two": from the beginning of a line or after a question mark
_INLINE = re.compile(
    r"(?:(?P<first>^[ \t]*|[?？]\s*)|(?<!\S))(?P<cut>)"
    r"(?P<open>[(\[])?(?P<label>[A-Za-z])(?P<close>[)\]])[ \t]*",
    re.MULTILINE,
)
_HEADING = re.compile(r"\b(?:options|choices)[ \t]*:", re.IGNORECASE)
# What begins as with a label, and has none: "(A) and (B)", "(B) alone", "1: 2"
_NO_LABEL = re.compile(
    r"[(\[]?\w{1,2}[)\]] (?:(?:and|or) [(\[]?\w{1,2}[)\]]|(?:only|alone)$)|\d+: \d", re.IGNORECASE
)


class Found(NamedTuple):
    """end: where in its text it ends."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    end: int


def in_question(question: str, *, numbered: bool) -> Found | None:
    """The list that counts of a question (choices.listed)."""
    found = _lettered(question)
    if found is None and (headings := list(_HEADING.finditer(question))):
        under = question[headings[-1].end() :]
        found = _last(_AT_A_LINE, under, digits=True) or _last(_ANYWHERE, under, digits=True)
    if found is None and numbered:
        found = _last(_AT_A_LINE, question, digits=True)
    return found


def of_lines(lines: Sequence[str]) -> Found | None:
    """The list that lines are, each a label and a text; None where any is none."""
    if any(_NO_LABEL.match(line) for line in lines):
        return None
    text = "\n".join(lines)
    found = _last(_AT_A_LINE, text) or _last(_AT_A_LINE, text, digits=True)
    return found if found is not None and len(found.texts) == len(lines) else None


def begun(text: str) -> tuple[str, str] | None:
    """The label that a text begins with, and the rest; None where it has none, or nothing else."""
    match = _AT_A_LINE.match(text)
    return (match["label"], text[match.end() :]) if match and text[match.end() :] else None


def _lettered(question: str) -> Found | None:
    """The last list with letters; one on one line counts where it follows those at lines."""
    found = _last(_AT_A_LINE, question)
    after = question[0 if found is None else found.end :]
    if headings := list(_HEADING.finditer(after)):
        found = _last(_ANYWHERE, after[headings[-1].end() :]) or found
    elif inline := _last(_INLINE, after):
        joined = {"and", "or"} & {text.casefold() for text in inline.texts}
        found = found if joined else inline  # "(A) and (B) are true"
    return found


def _last(pattern: re.Pattern[str], text: str, *, digits: bool = False) -> Found | None:
    """The last run of at least two consecutive labels of one style."""
    runs: list[list[re.Match[str]]] = []
    growing: dict[str, list[re.Match[str]]] = {}
    for match in pattern.finditer(text):
        label = match["label"]
        if label.isdigit() != digits:
            continue
        style = f"{match['open'] or ''}{'a' if label.islower() else 'A'}{match['close']}"
        run = growing.get(style, [])
        if run and label == _nth(len(run), label):
            run.append(match)
        else:
            begins = label == _nth(0, label) and match["first"] is not None
            run = [match] if begins else []
        growing[style] = run
        if len(run) == 2:
            runs.append(run)
    if not runs:
        return None
    last = max(runs, key=lambda run: run[0].start())
    ends = [match.start("cut") for match in last[1:]]
    rest = text[last[-1].end() :].lstrip()
    ends.append(len(text) - len(rest) + len(rest.split("\n", maxsplit=1)[0]))
    texts = [text[match.end() : end] for match, end in zip(last, ends, strict=True)]
    lines = tuple(" ".join(one.split()) for one in texts)
    if pattern is not _AT_A_LINE:
        lines = _apart(lines)
    if len(lines) > len(LETTERS) or not all(lines):
        return None
    return Found(lines, tuple(match["label"] for match in last), ends[-1])


def _apart(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Choices of one line without the commas, or semicolons, that stand between all of them."""
    *before, last = texts
    if {text[-1:] for text in before} in ({","}, {";"}):
        return (*(text[:-1].rstrip() for text in before), last)
    return texts


def _nth(index: int, like: str) -> str:
    if like.isdigit():
        return str(index + 1)
    letter = LETTERS[index] if index < len(LETTERS) else ""
    return letter.lower() if like.islower() else letter
