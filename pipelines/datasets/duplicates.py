"""Questions that are there twice, in 8 bytes each: word for word, or nearly."""

import hashlib
import re
import unicodedata

import numpy as np
from numpy.typing import NDArray

_MERGED = 1 << 16  # hashes that wait in a set of Python's before they are merged
# Words and numbers, and the signs between numbers; other punctuation is left out.
_TOKEN = re.compile(r"[^\W_]+(?:[.,]\d+)*|(?<=\d)\s*[+*/×·÷=<>^-]\s*(?=\d)")
_NUMBER = r"\d[\d.,]*"
# Sums and products whose order does not count: not after a minus, and not beside what binds more.
_CHAIN = re.compile(
    rf"(?<![-*/×·÷^] )\b{_NUMBER}(?: ([+*×·]) {_NUMBER})(?: \1 {_NUMBER})*\b(?! [*/×·÷^])"
)


class Hashes:
    """A set of 64-bit hashes."""

    def __init__(self) -> None:
        self._merged: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._new: set[int] = set()

    def add(self, one: int) -> None:
        self._new.add(one)
        if len(self._new) == _MERGED:
            new = np.fromiter(self._new, np.uint64, len(self._new))
            self._merged = np.union1d(self._merged, new)
            self._new.clear()

    def __contains__(self, one: int) -> bool:
        if one in self._new:
            return True
        at = int(np.searchsorted(self._merged, np.uint64(one)))
        return at < len(self._merged) and int(self._merged[at]) == one


def exact(question: str) -> int:
    """64 bits of a question's hash."""
    return int.from_bytes(hashlib.sha256(question.encode()).digest()[:8], "big")


def near(question: str) -> int:
    """The same for questions that differ in case, spaces, punctuation or the order of operands."""
    text = unicodedata.normalize("NFKC", question).casefold()
    tokens = " ".join(token.strip() for token in _TOKEN.findall(text))
    return exact(_CHAIN.sub(_sorted, tokens))


def _sorted(chain: re.Match[str]) -> str:
    sign = f" {chain[1]} "
    return sign.join(sorted(chain[0].split(sign)))
