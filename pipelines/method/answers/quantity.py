"""A text that is one number and its unit, in digits or in words, and nothing else."""

import re
import unicodedata

from pipelines.method.answers.numerals import CURRENCY, MOST_DIGITS, numbers, prepared

# After these words stands no unit: they make an expression, a part, a time or another number.
_NO_UNIT = (
    "and|or|to|plus|minus|times|by|if|is|of|in|out|than|less|more|fewer|remainder|not|point|squared|"
    "cubed|factorial|pi|half|halves|thirds?|quarters?|fourths?|fifths?|sixths?|sevenths?|eighths?|"
    "ninths?|tenths?|log|ln|sin|cos|tan|sqrt|root|mod|over|divided|multiplied|score|"
    "hundred|thousand|one|two|three|four|five|six|seven|eight|nine|ten|twenty|thirty|forty|fifty|"
    "sixty|seventy|eighty|ninety|binary|hex|octal|base|[ap]\\.?m|[xyzntei]"
)
# "dollars", "km/h", "m^2", "square feet per day"
_WORD = rf"(?!(?:{_NO_UNIT})\b)[^\W\d_]+[²³']?\.?(?:\^-?\d)?"
_UNIT = re.compile(
    rf"\s*(?:[{CURRENCY}]|°\s?[A-Za-z]?|{_WORD})(?:(?:\s*/\s*|\s+|[·-]){_WORD})*\s*[.!]?\s*",
    re.IGNORECASE,
)
_ORDINAL = re.compile(r"\^?(?:st|nd|rd|th)\b")
_NAMED = re.compile(r"\s*(?:[^\W\d_]\w{0,20}|[a-zA-Z]\(\s*[\w.,\s]{1,20}\))\s*[=≈≃:]\s*")
_LIST = re.compile(r"[\s*_]*[(\[{][^()\[\]{}]*,[^()\[\]{}]*[)\]}][\s*_.]*")  # a tuple, a set
_SEVERAL = re.compile(r"\b(?:or|and)\b|[,;]\s*[^\W\d]\w{0,3}\s*\Z")
_WRAP = " \t\n*_\"'`“”‘’«»()[]。."
_ONES = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9,
}  # fmt: skip
_TEENS = {
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15,
    "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
    "ninety": 90,
}  # fmt: skip
_VALUES = {"zero": 0, "a": 1} | _ONES | _TEENS | _TENS
_SMALL = rf"(?:(?:{'|'.join(_TENS)})(?:[- ](?:{'|'.join(_ONES)}))?|{'|'.join(_TEENS | _ONES)})"
_BELOW = rf"(?:{_SMALL} hundred(?:(?: and)? {_SMALL})?|{_SMALL})"
_IN_WORDS = re.compile(
    rf"(?:(?P<million>{_BELOW}) million(?:,? and|,)? ?)?"
    rf"(?:(?P<thousand>{_BELOW}) thousand(?:,? and|,)? ?)?"
    rf"(?P<rest>{_BELOW}|zero)?\b"
)
# What may stand before a number besides its sign: "US", "EUR ", "about ".
CODE = re.compile(r"[\s~≃]*(?:[A-Z]{1,3}|Rs\.?|about|approximately|around|roughly)?\s*")


def whole(text: str, *, comma: bool = False) -> str | None:
    """The number that a text is, with its unit; None where it is anything else as well.

    Lists, tuples, times, ranges and expressions are no numbers. "x = 5" is its right side.
    """
    if len(text) > 2 * MOST_DIGITS:
        return None
    if text.isdigit() and text.isascii() and len(text) <= MOST_DIGITS:
        return str(int(text))
    text = prepared(text).strip()
    exact, _, rounded = text.partition("≈")
    text = exact if exact.strip() else rounded
    if _LIST.fullmatch(text):
        return None
    named = _NAMED.match(text)
    if named and "=" not in text[named.end() :]:
        text = text[named.end() :]
    elif "=" in text:
        left, _, right = text.rpartition("=")
        if _SEVERAL.search(left):  # "x = 4 or x = -1"
            return None
        text = right if right.strip() else left
    text = _unwrapped(text)
    text = re.sub(r"^([+-])\s+(?=[\d.])", r"\1", text).removeprefix("+")
    found = next(numbers(text, alone=True, comma=comma), None)
    if found is None:
        return words(text)
    head, rest = text[: found.start], text[found.end :]
    if found.value is None or CODE.fullmatch(head) is None:
        return None
    rest = rest[ordinal.end() :] if (ordinal := _ORDINAL.match(rest)) else rest
    return found.value if not rest.strip(" .") or _UNIT.fullmatch(rest) else None


def _unwrapped(text: str) -> str:
    """Less quotes, bold marks and one pair of brackets around all of it."""
    stripped = text.strip(_WRAP)
    at = text.find(stripped) if stripped else 0
    # ".5" is no full stop and a five; "(3)" has its brackets off, "(3" keeps what it is.
    if at and text[at - 1] == "." and stripped[:1].isdigit():
        stripped = "." + stripped
    return stripped


def words(text: str) -> str | None:
    """A number in words ("twenty-one", "two hundred and five"), perhaps with a unit after it."""
    if len(text) == 1 and unicodedata.numeric(text, None) is not None:  # 三
        return str(int(unicodedata.numeric(text)))
    text = text[:200].lower().strip(_WRAP)
    match = _IN_WORDS.match(text)
    if match is None or not match[0]:
        return None
    rest = text[match.end() :]
    if rest.strip(" .") and not _UNIT.fullmatch(rest):
        return None
    total = 10**6 * _below(match["million"]) + 1000 * _below(match["thousand"])
    total += _below(match["rest"])
    return str(total)


def _below(text: str | None) -> int:
    """The value of words for less than a thousand."""
    hundreds, hundred, rest = (text or "").rpartition(" hundred")
    value = sum(_VALUES[word] for word in re.findall(r"[a-z]+", rest) if word != "and")
    return value + (100 * _VALUES[hundreds] if hundred else 0)
