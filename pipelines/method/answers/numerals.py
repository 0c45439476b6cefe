"""Numbers as models and people write them: one grammar for answers and for references.

A number is a sign, a currency, digits with separators, a decimal part, an exponent, a fraction or
a percent sign, and a word such as million; a unit is not compared (quantity.py). Equal numbers are
equal strings: 18 for 18.0, a finite decimal where there is one (0.5), else a fraction (1/3).
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from pipelines.method.answers.latex import plain

MOST_DIGITS = 1_000  # of a number; more is no answer to a question
_MOST_EXPONENT = 300

_DASHES = {ord(c): "-" for c in "−‐‑‒–—﹣－"}
CURRENCY = "$€£¥₹₩₽₺₫฿₪"
_VULGAR = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"
# What stands inside a number: one character between digits.
_RUN = re.compile(
    rf"(?<![A-Za-z0-9_^.\\√])(?:(?<!\d[,:'])\d++(?:[.,'’\u00a0\u2009\u202f٬٫]\d++)*+|\.\d++)"
    rf"|[{_VULGAR}]"
)
_THREES = re.compile(r"(?: \d{3})++(?!\d)(?:[.,]\d++)?")
_FORMS: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(form), thousands, point)
    for form, thousands, point in (
        (r"\d*\.\d+|\d+", "", "."),
        (r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", ",", "."),
        (r"\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?", ",", "."),  # lakhs
        (r"\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?|\d{1,3}(?:\.\d{3})+,\d+", ".", ","),
        (r"0,\d+|\d{4,},\d+", "", ","),
        (r"\d{1,3}(?:['’]\d{3})+(?:\.\d+)?", "'’", "."),
        (r"\d{1,3}(?:[ \u00a0\u2009\u202f]\d{3})+(?:\.\d+)?", " \u00a0\u2009\u202f", "."),
        (r"\d{1,3}(?:[ \u00a0\u2009\u202f]\d{3})+,\d+", " \u00a0\u2009\u202f", ","),
        (r"\d+(?:٬\d{3})*(?:٫\d+)?", "٬", "٫"),
    )
)
_FRACTION = re.compile(r" ?[/⁄] ?(-?\d++)(?! ?[/⁄] ?\d)(?![.,]\d)")
_MIXED = re.compile(r"(?: |\u00a0|-| and )(\d++) ?[/⁄] ?(\d++)(?![/⁄.,]?\d)")
_MIXED_VULGAR = re.compile(rf"[ \u00a0\u2009-]?([{_VULGAR}])")
_EXPONENT = re.compile(r"[eE]([+-]?\d{1,9})(?![\w.])")
_TENS = re.compile(r" ?[×*x·⋅] ?10 ?(?:\^ ?|\*\* ?)[({]?([+-]?\d{1,9})[)}]?(?![.\d])")
_POWER = re.compile(r" ?(?:\^|\*\*) ?[({]?([+-]?\d{1,9})[)}]?(?![.\d])")
_SUPERSCRIPT = re.compile(r"(?<=\d)[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_PERCENT = re.compile(r" ?(?:%|％|٪|per ?cent\b|pct\b)")
_SCALES = {
    "hundred": 10**2, "thousand": 10**3, "mil": 10**3, "lakh": 10**5, "lakhs": 10**5,
    "million": 10**6, "millions": 10**6, "millionen": 10**6, "millones": 10**6, "millón": 10**6,
    "milhões": 10**6, "milioni": 10**6, "mio": 10**6, "mn": 10**6, "crore": 10**7, "crores": 10**7,
    "billion": 10**9, "billions": 10**9, "bn": 10**9, "milliarden": 10**9, "milliards": 10**9,
    "mrd": 10**9, "trillion": 10**12, "trillions": 10**12,
    "千": 10**3, "万": 10**4, "萬": 10**4, "만": 10**4, "億": 10**8, "亿": 10**8, "억": 10**8,
}  # fmt: skip
_SCALE = re.compile(rf"[ \u00a0-]?({'|'.join(_SCALES)})(?![A-Za-zÀ-ɏ])", re.IGNORECASE)
_MIL = re.compile(r"[ \u00a0]?mil\b", re.IGNORECASE)  # a thousand, or short for a million
_MONEY_SCALE = re.compile(r"(k|K|m|M|mn|bn|B|b|tn|T)\b")
_KILO = re.compile(r"k\b(?!\s?[/·])")
_MONEY_SCALES = {"k": 3, "m": 6, "mn": 6, "bn": 9, "b": 9, "tn": 12, "t": 12}
# A factor right after it makes a number an expression: 4√2, 2π, 3x, 2(5).
# So does a letter that may be a million or a metre, and a thousandth.
_FACTOR = re.compile(
    r" ?[√π∞‰]|\(|[xyzntkabceijKMBT](?![A-Za-z'’])| ?\\| ?(?:pi|sqrt|log|ln|sin|cos|tan|[ap]\.?m)\b"
)
_MINUS = re.compile(r"(?:\A|[^\w\s]\s?|\b(?:is|to|was)\s)((?:negative|minus) )\Z", re.IGNORECASE)
_EITHER = re.compile(r"\d{1,3}[.,]\d{3}")
_COMMA = re.compile(r"\d+,\d{1,2}")
_MEASURE = re.compile(
    rf"\s?(?:[{CURRENCY}%°]|(?:euros?|zł|kr|Kč|Ft|lei|kg|km|cm|mm|m|l|g|percent)\b)"
)
_TIME = re.compile(r" ?: ?\d")
# Where none of these follows, the digits are all of the number.
_GOES_ON = re.compile(
    rf"[ \u00a0-]?[千万萬만億亿억/⁄×⋅·*^%％٪‰√π∞(\\{_VULGAR}\d]|[ \u00a0-]?[A-Za-z]| and "
)
_CALCULATED = re.compile(r"<<[^<>\n]{1,200}>>")  # GSM8K's: "9 * 2 = <<9*2=18>>18"
_ONE_IN_BRACKETS = re.compile(r"\((-?\d+)\)(?= ?/)|(?<=/)\((-?\d+)\)")


@dataclass(frozen=True, slots=True)
class Found:
    """A number in a text: its place, and its canonical form (None where it cannot be read)."""

    start: int
    end: int
    value: str | None


def prepared(text: str) -> str:
    """The text with ASCII digits, one minus sign and no LaTeX; its other letters stay."""
    if "<<" in text:
        text = _CALCULATED.sub("", text)
    text = plain(text)
    if "/" in text and "(" in text:
        text = _ONE_IN_BRACKETS.sub(r"\1\2", text)  # (1)/(2)
    if text.isascii():
        return text
    text = text.translate(_DASHES)
    text = _SUPERSCRIPT.sub(lambda m: "^" + unicodedata.normalize("NFKC", m[0]), text)
    return "".join(
        str(unicodedata.digit(c)) if c > "\x7f" and c.isdecimal() else "." if c == "．" else c
        for c in text
    )


def numbers(text: str, *, alone: bool, comma: bool = False) -> Iterator[Found]:
    """All numbers of a prepared text, in order.

    alone: the text states one number and no sentence, so that "12 345" is one. comma: its language
    writes 3,14 for what others write 3.14, so that 1.500 and 1,500 may be either, and mil is a
    thousand.
    """
    place = 0
    while match := _RUN.search(text, place):
        found = _number(text, match, alone, comma)
        place = max(found.end, match.end())
        yield found


def _number(text: str, match: re.Match[str], alone: bool, comma: bool) -> Found:
    run, start, end = match[0], match.start(), match.end()
    sign_at, negative, money = _before(text, start)
    if run in _VULGAR:
        return Found(sign_at, end, _show(_vulgar(run), negative))
    threes = _THREES.match(text, end) if len(run) <= 3 else None
    # "10 000" is one number; of "12 345" only what stands alone tells.
    if threes and (alone or threes[0][1] == "0" or threes[0].count(" ") > 1):
        run, end = run + threes[0], threes.end()
    if len(run) > MOST_DIGITS:
        return Found(sign_at, end, None)
    value = None if comma and _EITHER.fullmatch(run) else _plain_value(run)
    if value is None and (comma or money or _MEASURE.match(text, end)):
        value = _decimal_comma(run)
    if value is None or _TIME.match(text, end):
        return Found(sign_at, end, None)  # a list, a version, a time
    if not comma and _MIL.match(text, end):
        return Found(sign_at, end, None)
    if _GOES_ON.match(text, end):
        value, end = _continued(text, end, value, run, money)
        if value is None or _FACTOR.match(text, end):
            return Found(sign_at, end, None)
    return Found(sign_at, end, _show(value, negative))


def _before(text: str, start: int) -> tuple[int, bool, bool]:
    """Where the number starts with its sign and currency; whether it is negative; whether money."""
    place, money = start, False
    while place and (text[place - 1] in CURRENCY or (money and text[place - 1] == " ")):
        place, money = place - 1, True
    if word := _MINUS.search(text, max(0, place - 14), place):
        return word.start(1), True, money
    if place and text[place - 1] == "-":
        head = text[: place - 1].rstrip(" ") if place > 1 else ""
        spaced = len(head) < place - 1
        # A minus between operands is an operator: 5-3, x -3; "is -3" has a sign.
        operand = head[-1:].isalnum() or head[-1:] in (")", "]", "%", "°")
        if operand and spaced and re.search(r"[^\W\d]{2,}\Z", head[-2:]):
            operand = False
        if not operand:
            return place - 1, True, money
    return place, False, money


def _plain_value(run: str) -> Fraction | int | None:
    if run.isdigit():
        return int(run)
    for form, thousands, point in _FORMS:
        if form.fullmatch(run):
            for sign in thousands:
                run = run.replace(sign, "")
            run = run.replace(point, ".")
            return Fraction(f"0{run}" if run[0] == "." else run)
    return None


def _decimal_comma(run: str) -> Fraction | None:
    """3,14, which elsewhere may be a list of two."""
    return Fraction(run.replace(",", ".")) if _COMMA.fullmatch(run) else None


def _continued(
    text: str, end: int, value: Fraction | int, run: str, money: bool
) -> tuple[Fraction | int | None, int]:
    """What follows the digits and belongs to the number: a fraction, an exponent, a scale."""
    if whole := run.isdigit():
        if (mixed := _MIXED.match(text, end)) and int(mixed[1][-9:]) < int(mixed[2][-9:]):
            if len(mixed[2]) > 9:
                return None, end
            return value + Fraction(int(mixed[1]), int(mixed[2])), mixed.end()
        if vulgar := _MIXED_VULGAR.match(text, end):
            return value + _vulgar(vulgar[1]), vulgar.end()
    if fraction := _FRACTION.match(text, end):
        if len(fraction[1]) > MOST_DIGITS or not int(fraction[1]):
            return None, fraction.end()
        return Fraction(value) / int(fraction[1]), fraction.end()
    if text[end : end + 3].lstrip(" ")[:1] in ("/", "⁄") and re.match(r" ?[/⁄] ?\d", text[end:]):
        return None, end  # 1/2/2020
    power = _EXPONENT.match(text, end) or _TENS.match(text, end)
    if power is None and (raised := _POWER.match(text, end)):
        if not (whole and value == 10):
            return None, raised.end()  # 2^10 is an expression
        value, power = Fraction(1), raised
    if power is not None:
        if abs(int(power[1])) > _MOST_EXPONENT:
            return None, power.end()
        return value * Fraction(10) ** int(power[1]), power.end()
    if percent := _PERCENT.match(text, end):
        return value, percent.end()
    if scale := _SCALE.match(text, end):
        while scale:  # "5 hundred thousand"
            value, end = value * _SCALES[scale[1].lower()], scale.end()
            scale = _SCALE.match(text, end)
        return value, end
    if (money or len(run) > 1) and (kilo := _KILO.match(text, end)):
        return value * 1000, kilo.end()
    if money and (scale := _MONEY_SCALE.match(text, end)):
        return value * 10 ** _MONEY_SCALES[scale[1].lower()], scale.end()
    return value, end


def _vulgar(sign: str) -> Fraction:
    return Fraction(unicodedata.numeric(sign)).limit_denominator(10)


def _show(value: Fraction | int, negative: bool) -> str:
    if negative:
        value = -value
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
