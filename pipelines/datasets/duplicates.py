"""Questions that are there twice, in 8 bytes each: word for word, or nearly."""

import hashlib
import re
import unicodedata

import numpy as np
from numpy.typing import NDArray

ID_BITS = 48  # of a hash, in a query_id; any two of a million are one by a chance of 0.2%
_MERGED = 1 << 15  # hashes that wait in a set of Python's before they are merged
_LETTER = r"[^\W\d_]"
_INITIALS = re.compile(rf"(?<!\w)(?:{_LETTER}\.)+{_LETTER}(?:\.|(?!\w))")  # U.S. and e.g
_APOSTROPHE = re.compile(rf"(?<={_LETTER})['’ʼ](?=(?:s|t|re|ve|ll|d|m)\b)")  # f'g is no such
# What is left out where it is no part of a number, no factorial and no minus.
_POINTS = re.compile(r"[.,](?!\d)|(?<!\d)!|(?<=[^\W\d_])[-‐](?=[^\W\d_])")
_SIGNS = frozenset("!%&#@*/·()[]{}")  # of punctuation, what counts; of symbols all do
_NUMBER = r"\d[\d.,]*"
# Sums and products whose order does not count: not beside a sign that may bind more, or a minus
# before them.
_BEFORE, _AFTER = r"(?<![^\w+=<>(\[{|$] )(?<!\S)", r"(?!\S)(?! [^-\w+=<>)\]}|$])"
_SIGN, _MONEY = "(?P<sign>[+*×·])", "(?P<money>[$€£¥₹₩₽])"  # each number's, or none's


def _chain(first: str, further: str) -> re.Pattern[str]:
    return re.compile(rf"{_BEFORE}{first} {_SIGN} {further}(?: (?P=sign) {further})*{_AFTER}")


_CHAINS = (
    _chain(_NUMBER, _NUMBER),
    _chain(f"{_MONEY} {_NUMBER}", f"(?P=money) {_NUMBER}"),
    _chain(f"{_NUMBER} {_MONEY}", f"{_NUMBER} (?P=money)"),
)


class Hashes:
    """A set of 64-bit hashes."""

    def __init__(self) -> None:
        self._merged: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._new: set[int] = set()
        self._ids: set[int] = set()  # of the new

    def add(self, one: int) -> None:
        self._new.add(one)
        self._ids.add(_id(one))
        if len(self._new) == _MERGED:
            self._merged = self.sorted()
            self._new.clear()
            self._ids.clear()

    def sorted(self) -> NDArray[np.uint64]:
        """All of them, each once."""
        new = np.fromiter(self._new, np.uint64, len(self._new))
        return np.union1d(self._merged, new)

    def __contains__(self, one: int) -> bool:
        return one in self._new or self._from(one) == one

    def has_id(self, one: int) -> bool:
        """Whether the first ID_BITS are those of a hash in it."""
        first = _id(one) << (64 - ID_BITS)
        after = self._from(first)
        return _id(one) in self._ids or (after is not None and _id(after) == _id(one))

    def _from(self, one: int) -> int | None:
        """The first of the merged that is no less; None where all are."""
        at = int(np.searchsorted(self._merged, np.uint64(one)))
        return int(self._merged[at]) if at < len(self._merged) else None


def _id(one: int) -> int:
    return one >> (64 - ID_BITS)


class _Characters(dict[int, str]):
    """What stands for a character: itself, apart where it is a sign, or a space."""

    def __missing__(self, code: int) -> str:
        one = chr(code)
        kind = unicodedata.category(one)
        if kind[0] in "LNM" or one in ".,":
            made = one
        elif kind == "Pd" or one == "−":
            made = " - "
        else:
            made = f" {one} " if kind[0] == "S" or one in _SIGNS else " "
        self[code] = made
        return made


_CHARACTERS = _Characters()


def exact(question: str) -> int:
    """64 bits of a question's hash."""
    return int.from_bytes(hashlib.sha256(question.encode()).digest()[:8], "big")


def near(question: str) -> int:
    """The same for questions that differ in case, spaces, punctuation or the order of operands."""
    text = unicodedata.normalize("NFKC", question).casefold()
    text = _INITIALS.sub(lambda found: found[0].replace(".", ""), text)
    text = _APOSTROPHE.sub("", text)
    text = " ".join(_POINTS.sub(" ", text).translate(_CHARACTERS).split())
    for chain in _CHAINS:
        text = chain.sub(_sorted, text)
    return exact(text)


def _sorted(chain: re.Match[str]) -> str:
    sign = f" {chain['sign']} "
    return sign.join(sorted(chain[0].split(sign)))
