"""Kind `option`: the letter of a choice, stated as such, by its text, or standing alone."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from pipelines.method.answers.choice import LETTERS, by_text, mentioned_text
from pipelines.method.answers.denial import begins_denied, denied_after
from pipelines.method.answers.latex import plain
from pipelines.method.answers.statements import Statement

_END = r"(?![\w'’](?<![^\W\d_a-zA-ZÀ-ɏ]))"  # "B입니다" ends a letter, "Bé" does not
_TAIL = 2_000  # characters in which a letter that stands alone is looked for
_MOST = 18  # letters where the choices are not known: A to R

_CALLED = (
    "option|choice|answer|letter|statement|is|l[aeo]|el|die|der|das|opción|opcion|opzione|opção|"
    "opcja|antwort|lettre|letra|lettera|réponse|respuesta|risposta|resposta|buchstabe|вариант|буква|"
    "ответ|选项|選項|likely|(?:going )?to be"
)
_LETTER = re.compile(
    rf"[\W_]*(?:(?:{_CALLED})\b[\W_]*)*(?P<letter>[A-Za-z]){_END}"
    r"(?P<rest>[^\n]*)",
    re.IGNORECASE,
)
_OPENED = frozenset("([{<*$\"'`_")
_CLOSED = set(")]}>:.,*$\"'`;!—–-=/&+。，、：；")
# After these a lone A or b is a letter, before any other word an article.
_FUNCTION_WORDS = frozenset(
    {
        "and", "as", "at", "based", "because", "but", "by", "due", "for", "from", "given", "if",
        "in", "is", "it", "not", "of", "on", "or", "rather", "seems", "since", "so", "that", "the",
        "though", "when", "where", "which", "while", "with", "would",
    }
)  # fmt: skip
_SECOND = re.compile(
    r"[)\]*_\"'$.\s]*(?:[,、，;>]\s*(?:and|or)?|/|&|and\b|or\b|vs\b\.?|\+|(?<=\s))[\s(*_\"'$\[]*"
    r"(?:[Oo]ption\s+)?"
    r"(?P<letter>[A-Z])(?![\w'’])(?P<rest>[^\n]*)"
)
# The labels of other scripts' lists; В and С are two letters each, and none here.
_LABELS = str.maketrans("АБГДأابجد", "ABDEAABCD")
_DENIED = re.compile(
    r"[\s*_\"'`$)\]]*(?:(?:that|which)\s)?"
    r"(?:(?:is|was|are|would|does|seems|can|cannot|isn't|doesn't)\s*)?"
    r"(?:(?:be|most|very|likely|probably|clearly)\s){0,2}"
    r"(?:not|n't|wrong|incorrect|false|fails|out\b|isn't|doesn't|cannot)"
)
_DIGIT = re.compile(r"[\W_]*(?:option|choice|number|no\.?)?[\W_]*(?P<digit>\d{1,2})[\W_]*", re.I)
_ORDINAL = re.compile(
    r"\W*(?:the\s+)?(first|second|third|fourth|fifth|last)\s+(?:option|choice|one|answer)\b", re.I
)
_ORDINALS = ("first", "second", "third", "fourth", "fifth")

_ISOLATED = re.compile(rf"(?<![0-9A-Za-zÀ-ɏ_'’])[A-R]{_END}")
# "Option C is right", "B is the best answer"
_RIGHT = re.compile(
    r"[)\"'*_]{0,3}\s(?:is|seems|looks|appears|must be|would be)\s(?:to be\s)?"
    r"(?:(?:clearly|definitely|indeed|probably|the|our|my|most|best|only|correct|right)\s){0,4}"
    r"(?:correct|right|best|accurate|answer|choice|option|one)"
    r"(?=\s?(?:[.,;:!)*\n]|\Z|because\b|since\b|as\b|for\b|here\b))(?!,? (?:and|but|[A-R] is))"
)
_BRACKET = re.compile(r"\s?\([^()\n]{1,80}\)")  # "B (oxygen) is right"
_RIGHT_BEGINS = re.compile(r"\s(?:is|seems|looks|appears|must be|would be)\s")
# "Choose B if it is cold", "choose A, B, C or D", "A or B is right"
_NO_CHOICE = re.compile(r"[)\"'*_]{0,3},?\s(?:if|when)\b|(?:,\s?(?:or\s)?[A-R]\b){2}")
_OR = re.compile(r"\bn?or\s(?:option\s)?\(?\Z")
# "I would go with B", "it is surely C", "故选 B"
_CHOOSES = (
    r"\b(?i:go(?:ing)? (?:with|for)|choose|chose|pick(?:ed)?|select(?:ed)?|opt for|settle on|"
    r"vote for|corresponds to|matches|it(?:'s|’s| is)|must be|should be|I'd say|I say)\s"
)
_CHOSEN = re.compile(
    rf"(?:{_CHOOSES}(?:\w+ly\s)?[\"'*(]{{0,3}}(?:(?:option|answer|choice)\s)?"
    r"|(?:故选|应选|選擇|选择|选|選)\s?[:：]?\s?)[(（\"'*]{0,2}\Z"
)
_NTH_CHOSEN = re.compile(rf"{_CHOOSES}(the (?:first|second|third|fourth|fifth|last) \w+)")
# "so C it is", "eliminates B, so C.", "only D fits"
_SO = re.compile(
    r"\b(?:(?:so|thus|hence|therefore|leaving|leaves(?: us with)?|only)[\s,]{1,2}|"
    r"(?:no|actually|wait|rather|correction|instead)[,:]\s)(?:option\s)?\(?\Z",
    re.IGNORECASE,
)
_IT_IS = re.compile(r"\)?\s?(?:it is\b|[.!\n]|\Z|fits\b|works\b|remains\b|is left\b)")
_IS = re.compile(r"(?<!\bso )\bis (?:option )?\(?\Z")  # "the exception is C." at the end of all
_ALONE = re.compile(
    r"^(?:[^\w\n(\[]|_){0,6}[(\[]?(?P<letter>[A-Ra-r])(?:[)\]][*_.:]{0,3}"
    r"|[*_\"'`$]{0,3}(?:[.:)](?=\s|\*|$)|[。、．：]|[ \t]*$))",
    re.MULTILINE,
)
# "Option B", "**Choice B**: zinc", "B because it melts", at the beginning of a line.
_CALLED_SO = re.compile(
    r"^[\s*_#\"'`>-]{0,6}(?:(?:[Oo]ption|[Cc]hoice|[Aa]nswer|[Ll]etter) (?=[A-R])"
    r"|(?:Option|Choice|Letter) |(?=[A-R][*_\"'`]{0,3},?\s(?:because|since)\s))"
    r"(?P<letter>[A-Ra-r])[*_\"'`]{0,3}"
    r"(?P<rest>[ \t]*$|(?:[.:)](?=\s|\*|$)|\s[—–(-]|,?\s(?:because|since)\s)[^\n]*)",
    re.MULTILINE,
)
# "Option B: this is wrong"
_JUDGED = re.compile(
    r"[\W_]*(?:(?:it|this|that|which)\s)?(?:(?:is|was|seems|does|would be)\s)?"
    r"(?:\w{0,9}n['’]t|no|not|never|cannot|too|wrong|incorrect|false)\b",
    re.IGNORECASE,
)
_ANOTHER = re.compile(
    r"(?:\b(?:[Oo]ption|[Cc]hoice|or|and)\s|/\s?)\(?[B-R](?![\w'’])|[Oo]ption A\b"
)
# "it is oxygen, option B."
_APPOSED = re.compile(r",\s(?:option|choice|answer)\s\(?(?P<letter>[A-R])[\s).*]*\Z")
_LABEL = re.compile(
    r"[\W_]{0,9}(?:option|choice|answer)?[\W_]{0,9}([A-Za-z]|[1-9])[\W_]{0,9}", re.IGNORECASE
)
_SEVERAL = re.compile(r"(?:option|choice)s\b", re.IGNORECASE)
_DIGIT_FIRST = re.compile(r"\W{0,4}(\d{1,2})\s?(?:[.):]\s|[—–-]\s)")
_INLINE = re.compile(r"\((?P<letter>[A-R])\)")


def chosen(text: str, choices: Sequence[str] | None) -> Iterator[Statement]:
    """The statements that only options have: "option C is right", "so C it is"."""
    for match in list(_ISOLATED.finditer(text))[-_MOST:]:
        place, end = match.span()
        before = text[max(0, place - 60) : place]
        if _DENIED.match(text, end) or _NO_CHOICE.match(text, end) or _OR.search(before):
            continue
        if (
            (_RIGHT.match(text, _after_choice(text, end, choices)) and not denied_after(before))
            or ((found := _CHOSEN.search(before)) and not denied_after(before[: found.start()]))
            or (_SO.search(before) and _IT_IS.match(text, end))
            or (match[0] not in "AI" and not text[end:].strip(".!*)\n ") and _IS.search(before))
        ):
            yield Statement(place, text[place : place + 200])
    if " the " in text:
        for match in list(_NTH_CHOSEN.finditer(text))[-_MOST:]:
            yield Statement(match.start(), match[1])


def _after_choice(text: str, end: int, choices: Sequence[str] | None) -> int:
    """Where a label's own words end, in brackets or of its choice: "B) oxygen is right"."""
    if bracket := _BRACKET.match(text, end):
        return bracket.end()
    letter, begins = text[end - 1], _RIGHT_BEGINS.search(text, end, end + 100)
    if begins and by_text(text[end : begins.start()].lstrip(" .:)*_"), choices) == letter:
        return begins.start()
    return end


def stated(text: str, choices: Sequence[str] | None) -> str | None:
    """The letter of a statement; None where it is none, or there are two."""
    text = unicodedata.normalize("NFKC", plain(text))
    if begins_denied(text):
        return None
    letter, rest = _letter(text, choices)
    named = by_text(text, choices)
    if letter is None:
        return named or _by_number(text, choices)
    # "(B) zinc", and zinc is D; "C", where that is the text of A. "B - 5" is 5 or -5.
    follows = {by_text(rest.lstrip(signs), choices) for signs in (" ,.:)]*", " ,.:)]*-")} - {None}
    return letter if named in (None, letter) and (not follows or letter in follows) else None


def alone(text: str, choices: Sequence[str] | None) -> str | None:
    """The letter that stands alone in a text without a statement, or whose choice it names."""
    text = unicodedata.normalize("NFKC", plain(text[-_TAIL:]))
    *_, line = text.splitlines() or [""]
    if (match := _ALONE.match(line)) and not line[match.end() :].strip():
        return _allowed(match["letter"], choices)
    if apposed := _APPOSED.search(line):
        name = line[: apposed.start()]
        return apposed["letter"] if mentioned_text(name, choices) == apposed["letter"] else None
    called, other = _called(text, line, choices), _uncalled(text, line, choices)
    return (called or other) if None in (called, other) or called == other else None


def _called(text: str, last: str, choices: Sequence[str] | None) -> str | None:
    """The one letter that lines begin with after "option", where it is the first or last line."""
    found = list(_CALLED_SO.finditer(text))
    if len({match["letter"].upper() for match in found}) != 1:
        return None  # none, or the options, gone through
    match = found[-1]
    if text[: found[0].start()].strip() and match[0].strip() != last.strip():
        return None
    if _ANOTHER.search(match["rest"]):
        return None
    letter = stated(match[0].strip(), choices)
    judged = _JUDGED.match(match["rest"]) and by_text(match["rest"], choices) != letter
    return None if judged else letter


def _uncalled(text: str, line: str, choices: Sequence[str] | None) -> str | None:
    """The letter of a text by its one label, or by the choice that it names."""
    places = {m["letter"].upper(): m.start() for m in _ALONE.finditer(text)}
    if len(places) > 1 and (letter := _apart(text, choices)):
        return letter
    places = places or {m["letter"]: m.start() for m in _INLINE.finditer(text)}
    if places:  # several are the list of the options, gone through
        ((letter, place),) = places.items() if len(places) == 1 else [("", 0)]
        return stated(text[place:].lstrip(), choices) if letter else None
    if choices and (digit := _DIGIT_FIRST.match(text)):
        return _by_number(digit[1], choices)
    return by_text(line, choices) or mentioned_text(text, choices)


def _apart(text: str, choices: Sequence[str] | None) -> str | None:
    """The letter of a first or last line that is a choice and no more, out of the list's order.

    "B. heat it", and then A to C gone through; or A to C, and then "B. heat it".
    """
    lines = [line for line in text.splitlines() if line.strip()]
    labels = [_ALONE.match(line) for line in lines]
    letters = [label["letter"].upper() for label in labels if label]
    said = set()
    if labels[0] and not _ALONE.match(text.partition("\n")[2]) and letters[0] >= letters[1]:
        said.add(_only(lines[0], labels[0], choices))
    if labels[-1] and letters[-1] <= letters[-2]:
        said.add(_only(lines[-1], labels[-1], choices))
    return said.pop() if len(said) == 1 else None


def _only(line: str, label: re.Match[str], choices: Sequence[str] | None) -> str | None:
    """The letter of a line that is its label, perhaps with the text of its choice."""
    words, letter = line[label.end() :].strip(" .:)]*_"), _allowed(label["letter"], choices)
    return letter if not words or by_text(words, choices) == letter else None


def lists(text: str, place: int) -> bool:
    """Whether what stands there are the options, and no answer: "the options are: A) ... B)"."""
    return bool(_SEVERAL.match(text, place)) and len(_ALONE.findall(text, place, place + 200)) > 1


def mentioned(text: str) -> bool:
    """Whether a statement that could not be read names letters: two of them, or one denied."""
    return bool(_LETTER.match(plain(text)) or _INLINE.search(text[:80]))


def label(text: str) -> str | None:
    """A reference's letter: "(B)", "b.", "B", "option B"; of labels in digits, "2" is B."""
    text = unicodedata.normalize("NFKC", plain(text[:200])).strip()
    match = _LABEL.fullmatch(text)
    if match is None:
        return None
    one = match[1].upper()
    return LETTERS[int(one) - 1] if one.isdigit() else one


def _letter(text: str, choices: Sequence[str] | None) -> tuple[str | None, str]:
    """The letter that a statement begins with, None where it has none or two, and what follows."""
    match = _LETTER.match(text if text.isascii() else text.translate(_LABELS))
    if match is None:
        return None, ""
    letter, rest = match["letter"], match["rest"]
    opened = text[match.start("letter") - 1 : match.start("letter")] in _OPENED
    if (not opened and _is_word(letter, rest)) or _DENIED.match(rest):
        return None, ""
    second = _SECOND.match(rest)
    if second and second["letter"] != letter.upper():
        article = second["letter"] in "AI" and re.match(r"\s+[a-z]", second["rest"])
        if not article and not _DENIED.match(second["rest"]):
            return None, ""
    return _allowed(letter, choices), rest


def _is_word(letter: str, rest: str) -> bool:
    """Whether it is the article or the pronoun: "A train", "I think", "a, b"."""
    if rest[:1] not in _CLOSED and rest.strip():
        word = re.match(r"\s+([^\W\d_]+)", rest)
        if (letter in "AI" or letter.islower()) and word and word[1] not in _FUNCTION_WORDS:
            return True
    if letter in "Ii" and rest.strip(" .*)]"):
        return True
    return letter.islower() and rest[:1] == ","


def _by_number(text: str, choices: Sequence[str] | None) -> str | None:
    """The letter of "2" or "the second option", where no choice is a number itself."""
    if ordinal := _ORDINAL.match(text):
        word = ordinal[1].lower()
        if word == "last":
            return LETTERS[: len(choices)][-1] if choices else None
        return _allowed(LETTERS[_ORDINALS.index(word)], choices)
    digit = _DIGIT.fullmatch(text)
    if digit is None or any(re.search(r"\d", choice) for choice in choices or ()):
        return None
    place = int(digit["digit"])
    return _allowed(LETTERS[place - 1], choices) if 1 <= place <= 9 else None


def _allowed(letter: str, choices: Sequence[str] | None) -> str | None:
    place = ord(letter.upper()) - ord("A")
    return letter.upper() if place < (len(choices) if choices else _MOST) else None
