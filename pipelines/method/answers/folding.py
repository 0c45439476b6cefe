"""Texts that differ in case, accents, punctuation or a leading article alone, as one string."""

import re
import unicodedata

# Letters that Unicode does not take apart.
_LETTERS = str.maketrans(
    {
        "ł": "l", "ø": "o", "æ": "ae", "œ": "oe", "đ": "d", "ð": "d", "þ": "th", "ı": "i",
        "ħ": "h", "ŧ": "t", "ŋ": "n", "ĸ": "k", "ß": "ss", "’": "'", "‘": "'", "ʻ": "'", "ʼ": "'",
        "−": "-", "‐": "-", "‑": "-", "–": "-", "—": " ", "⁄": "/", "％": "%", "≤": "<=",
        "≥": ">=", "×": "*",
    }
)  # fmt: skip
_ACCENTS = re.compile("[\u0300-\u036f]+")
_NO_WORD = re.compile(r"[^\w\x00-\x7e√]")
_VULGAR = re.compile("(?<=[0-9])(?=[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒])")
# Kept: points between digits, a slash between digits, the minus of -3, and C++, C#, A-.
_DROPPED = re.compile(
    r"(?<=\d),(?=\d{3}(?!\d))|(?<!\d)\.(?=\w)|\.(?!\w)|(?<=[^\W\d])\.(?=\w)|(?<=\d)\.(?=[^\W\d])"
)
# "- 5" is -5, and so is it after a sign: "x = - 5".
_MINUS = re.compile(r"((?:\A|[<>=^(]) *)- +(?=\d)")
# What makes an expression of two operands, kept without the spaces around it; then the rest.
_SPACED = re.compile(
    r"(?<=\w) *(<=|>=|<>|[<>=^]) *(?=\w|-\d|√\w)|(?<=\d) *([*:/]) *(?=\d|-\d|√\w)"
    r"|(√) *(?=\w)"
    r"|[^\w\s+.\-/#$€£¥₹]|\.(?!\d)|(?<=\w)-(?=\w)|(?<!\w)-(?!\d)|(?<=\w\w\w)-(?!\w)"
    r"|(?<!\d)/|/(?!\d)|(?<!\w)#|#(?=\w)"
)
_INITIALS = re.compile(r"(?<=\b[^\W\d]) +(?=[^\W\d]\b(?!-))")  # "R. R." is "R.R."
_ARTICLES = ("the", "a", "an")


def folded(text: str) -> str | None:
    """A whole text in canonical form: words of small letters without accents and articles."""
    words = text.lower().split()
    # Most are plain words, of which only an article may go.
    if not all(word.isalnum() and word.isascii() and len(word) > 1 for word in words):
        words = _plain_words(text)
    if len(words) > 1 and words[0] in _ARTICLES and words[1] not in _ARTICLES:
        words = words[1:]
    return " ".join(words) or None


def _plain_words(text: str) -> list[str]:
    if not text.isascii():
        text = _unaccented(text)
    for sign, word in (("&", " and "), ("%", " percent "), ("_", " ")):
        text = text.replace(sign, word)
    text = _MINUS.sub(r"\1-", _DROPPED.sub("", text.lower()))
    text = " ".join(_SPACED.sub(lambda m: m[m.lastindex] if m.lastindex else " ", text).split())
    return _INITIALS.sub("", text).split()


def _unaccented(text: str) -> str:
    text = _VULGAR.sub(" ", text).replace("√", " √").replace("≠", "<>")  # "=" with an accent
    text = unicodedata.normalize("NFKD", text).casefold().translate(_LETTERS)
    # Accents only: vowel signs of other scripts make other words.
    text = _ACCENTS.sub("", text)
    return _NO_WORD.sub(
        lambda match: match[0] if unicodedata.category(match[0])[0] == "M" else " ",
        unicodedata.normalize("NFC", text),
    )
