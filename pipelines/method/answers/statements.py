"""Where a response states its answer: boxes, markers, tags, headings, "... is the answer".

Reading what is stated is each kind's own: number.py, option.py, phrase.py. A word is found first,
and patterns are tried where it stands: so an ordinary response takes microseconds, and a hostile
one no longer than its length.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pipelines.method.answers.denial import denied_after
from pipelines.method.answers.latex import braced
from pipelines.method.answers.said import end_of_last, head, tail

_MOST = 400  # characters of a statement, less than any answer that is compared
_MOST_STATEMENTS = 20  # of a kind, the last ones


@dataclass(frozen=True, slots=True, order=True)
class Statement:
    """What is said to be the answer.

    exact: it is that and nothing else, as in a box; with no text it was cut off, and the response
    has no answer. denied: it is said not to be the answer. comma: in a language that writes 3,14.
    weak: it is called a result or a solution, and a step of a working has these, too.
    """

    place: int
    text: str
    exact: bool = False
    denied: bool = False
    comma: bool = False
    weak: bool = False


_NOUNS = (
    "answer", "choice", "option", "result", "solution", "conclusion", "letter", "ans:", "ans =",
)  # fmt: skip
# Without one of these before it, only an answer is one.
_DETERMINED = re.compile(
    r"(?<![a-z])(?:the|my|our|your|final|correct|right|best|true)[\s*_]{1,3}\Z|_\Z|(?:\A|\n)\Z",
    re.IGNORECASE,
)
_IS = (
    r"(?:(?:is|are|was|were)(?:n['’]t)?|"
    r"(?:can(?:['’]t|not)|won['’]t|(?:would|could|should)n['’]t)\ be|"
    r"(?:will|would|should|must|has\ to|ought\ to|seems\ to|appears\ to|"
    r"turns\ out\ to|might|may|could|can\ only)\ be|seems|comes\ (?:out\ )?to|equals|becomes|"
    r"remains)\b(?!\ the\ (?:one|same)\b)"
    r"(?:[\s,]+(?:therefore|thus|then|hence|simply|just|clearly|probably|likely|most\ likely|"
    r"definitely|indeed|actually|still|now|equal\ to|given\ by|as\ follows|that)\b)*+"
)
_FOLLOWS = re.compile(
    rf"s?(?![a-z])(?:[\s*_\"'`)\]]{{0,6}}(?:\s(?:here|choice|option|letter)\b)?(?:\s*\(?\d?\)?)"
    rf"[\s*_\"'`)\],]{{0,6}}(?:{_IS}\s{{0,3}}[:：=]?|[:：=]|-+>|→|[–—]|-\s)"
    # "the answer to the question is"
    rf"|\s(?:to|for|of|in|that|which|here|after)\b[^.:=\n?]{{0,60}}?\b{_IS}\s{{0,3}}[:：]?)",
    re.IGNORECASE | re.VERBOSE,
)
_AT_ONCE = re.compile(r"[\s*_]{1,4}(?=[\d$(\\]|[A-Z]\b)")  # "final answer 15"
_HEADING = re.compile(r"[*_ \t]{0,4}\n")
_HEADED = re.compile(r"(?:\A|\n)[#*_\s]{0,8}(?:the\s+)?(?:final\s+|correct\s+)?\Z", re.IGNORECASE)
# "50 is the answer"
_PRECEDES = re.compile(
    r"\b(?<!not\ )(?:is|are|was|were|as|would\ be|must\ be|should\ be|has\ to\ be)\s{1,3}"
    r"(?:(?:the|our|my|your|a)\s{1,3})?"
    r"(?:(?:final|correct|right|best|only|true|most\ likely)\s{1,3}){0,2}\Z",
    re.IGNORECASE | re.VERBOSE,
)
_CLAUSE = re.compile(
    r"[.!?;:\n](?=\s|$)|,\s(?=so\b|thus\b|hence\b|therefore\b)|\b(?:so|thus|hence|therefore),?\s"
)
# "Respuesta: 15", "Die richtige Antwort ist B", "答案是 42".
_ABROAD = (
    "antwort", "richtig", "ergebnis", "lösung", "respuesta", "resultado", "risposta", "resposta",
    "réponse", "reponse", "jawaban", "jibu", "cevap", "antwoord", "svar", "odpowied", "odpověď",
    "vastaus", "răspuns", "câu trả lời", "đáp án", "đáp số", "ответ", "відповідь", "отговор",
    "απάντηση", "उत्तर", "जवाब", "উত্তর", "الإجابة", "إجابة", "جواب", "پاسخ", "תשובה", "คำตอบ",
    "答案", "答え", "解答", "回答", "正解", "정답", "답변", "답", "答", "பதில்",
    "సమాధానం", "ಉತ್ತರ", "જવાબ", "ਜਵਾਬ",
)  # fmt: skip
_ASCII_ABROAD = tuple(word for word in _ABROAD if word.isascii())
_FOLLOWS_ABROAD = re.compile(
    r"[a-zа-яęźć]{0,4}(?:\s{1,3}[^\W\d]{2,12}){0,2}?[\s*_)\]）]{0,6}(?:[:：=]|—|–|"
    r"(?:ist|lautet|es|est|è|é|são|sont|adalah|ialah|ni|is|jest|är|er|on|là|это|является|είναι)"
    r"(?![a-zа-я])[\s:：]{0,3}|(?:है|হল|হলো|هي|هو|คือ|は|은|는|이|[应應]?[该該]?不?(?:是|为|為|选|選))"
    r"[\s:：]{0,3}|\s{1,3}(?=\(?[A-R][)\s]|\d))",
    re.IGNORECASE,
)
# "Wait, that is wrong. It should be 14." "The answer is not A; it is C."
_CORRECTIONS = (
    "wait", "actually", "correction", "scratch that", "oops", "sorry", "on second thought",
    "on second look", "my mistake", "let me correct",
)  # fmt: skip
_CORRECTED = re.compile(
    r"[:：]\s{1,3}|[^\n]{0,160}?\b(?:"
    r"(?:it|that)(?:'s|’s|\ is|\ should\ be|\ must\ be|\ has\ to\ be)|"
    r"should\ be|must\ be|makes?\ (?:it|that)|(?:I|we)\ (?:now\ |really\ |actually\ )?get)\s{1,3}",
    re.IGNORECASE | re.VERBOSE,
)
# "if the answer is 5, then"
_IF = re.compile(r"\b(?:if|whether|suppose)\s(?:the\s|my\s|our\s)?\Z", re.IGNORECASE)
_TAKEN_BACK = re.compile(
    r"[^.\n]{0,40}?\s(?:but|which|yet)\s(?:(?:that|this|it)\s)?(?:is|was|seems|cannot be)\s"
    r"(?:wrong|incorrect|not right|not correct|a mistake|mistaken|impossible)\b"
)
_DENIED_NOUNS = tuple(
    f"{noun} {verb}"
    for noun in ("answer", "choice", "option", "result")
    for verb in ("is not", "isn't", "isn’t")
)
# "It is not tin but zinc."
_BUT = re.compile(
    r"\s[^.\n;,]{1,60}\sbut\s(?=(?:(?!\b(?:is|are|was|were|has|have|it)\b)[^.\n;,]){1,40}(?:[.\n]|\Z))"
)
_INSTEAD = re.compile(
    r"\s[^.\n;]{1,60}?[;,.]?\s(?:but|it is|it's|it’s|rather|instead)\s{1,3}", re.IGNORECASE
)
_TAG = re.compile(
    r"<(?:final_?)?(?:answer|conclude|conclusion|choice|result)>([^<]*)", re.IGNORECASE
)
_FINISH = re.compile(r"\bFinish\[([^\]\n]{1,200})\]")  # ReAct
_HASHES = re.compile(r"(?m)^[ \t]{0,3}####[ \t]*+(?!(?i:step|part)\b)([^\n]{1,80})$")
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s{0,3}(?:\{|([^\s{$\\]{1,40}))")
_BESIDE = re.compile(r"[\s$]{0,3}(?:,|;|or|and)[\s$]{0,3}")  # "\\boxed{1} or \\boxed{2}"
_SKIPPED = re.compile(r"[\s*_:：]{0,9}\n[ \t]*[-•+][ \t]+|[\s*_:：]{0,9}")  # a list's bullet, too


def find(text: str) -> list[Statement]:
    """The statements of a response, in their order."""
    low = _lower(text)
    found: list[Statement | None] = []
    for noun in _NOUNS:
        if noun in low:
            for place in _places(low, noun):
                found += _around(text, place, noun)
    for word in _ASCII_ABROAD if low.isascii() else _ABROAD:
        if word in low:
            for place in _places(low, word):
                follows = _FOLLOWS_ABROAD.match(text, place + len(word))
                one = _following(text, place, follows)
                if one and follows:
                    denied = one.denied or denied_after(follows[0]) or " no " in follows[0]
                    comma = word[0] < "\u0500"  # of Latin, Greek and Cyrillic scripts
                    found.append(replace(one, denied=denied, comma=comma))
    if "</" in text:
        found += [Statement(m.start(), m[1]) for m in _TAG.finditer(text)]
    if "Finish[" in text:
        found += [Statement(m.start(), m[1], exact=True) for m in _FINISH.finditer(text)]
    if "####" in text:
        found += [Statement(m.start(), m[1], exact=True) for m in _HASHES.finditer(text)]
    if "\\" in text and "box" in text:
        found += _boxes(text)
    if " is not " in low:
        for place in _places(low, " is not"):
            found.append(_following(text, place, _BUT.match(text, place + len(" is not"))))
    if found:  # a correction is one of something
        found += _corrections(text, low)
    return sorted(one for one in found if one is not None)[-_MOST_STATEMENTS:]


def _corrections(text: str, low: str) -> Iterator[Statement | None]:
    for words, follows in ((_CORRECTIONS, _CORRECTED), (_DENIED_NOUNS, _INSTEAD)):
        for word in words:
            if word in low:
                for place in _places(low, word):
                    yield _following(text, place, follows.match(text, place + len(word)))


def _lower(text: str) -> str:
    low = text.lower()
    # A capital İ becomes two characters, and places would differ.
    return low if len(low) == len(text) else "".join(c.lower()[0] for c in text)


def _places(low: str, word: str) -> Iterator[int]:
    """Where a word stands, from the end on."""
    place = len(low)
    for _ in range(_MOST_STATEMENTS):
        place = low.rfind(word, 0, place)
        if place < 0:
            return
        yield place


def _around(text: str, place: int, noun: str) -> Iterator[Statement | None]:
    """What is stated after "the answer is" and before "is the answer"."""
    if place and text[place - 1].isalpha():
        return
    end = place + len(noun.rstrip(":= "))
    determined = _DETERMINED.search(text, max(0, place - 12), place) is not None
    if noun[:3] == "ans" or determined:
        if follows := _FOLLOWS.match(text, end):
            final = text[max(0, place - 8) : place].strip(" *_").lower().endswith("final")
            weak = noun in ("result", "solution") and not final
            one = _following(text, place, follows)
            yield replace(one, weak=weak) if one else None
        elif noun == "answer":
            if text[max(0, place - 8) : place].strip(" *_").lower().endswith("final"):
                yield _following(text, place, _AT_ONCE.match(text, end))
            if _HEADED.search(text, max(0, place - 24), place):
                yield _following(text, place, _HEADING.match(text, end))
    before = text[max(0, place - 40) : place]
    if noun not in ("answer", "choice", "solution") or not ("s " in before or "e " in before):
        return
    if precedes := _PRECEDES.search(text, max(0, place - 40), place):
        clauses = tail(text[: precedes.start()][-_MOST:], _MOST // 4)
        if said := clauses[end_of_last(_CLAUSE, clauses) :].strip(" ,"):
            yield Statement(place, said)


def _following(text: str, place: int, match: re.Match[str] | None) -> Statement | None:
    if match is None:
        return None
    skipped = _SKIPPED.match(text, match.end())
    assert skipped is not None, "it matches nothing at all, too"
    start = skipped.end()
    if _BOX.match(text, start):
        return None  # it is a statement itself
    said = head(text[start : start + _MOST + 1], _MOST)
    before = text[max(0, place - 14) : place]
    denied = (
        "n't" in match[0]
        or "not" in match[0]
        or "n’t" in match[0]
        or (("f " in before or "er " in before or "se " in before) and _IF.search(before))
        or ((" but " in said or " which " in said or " yet " in said) and _TAKEN_BACK.match(said))
    )
    return Statement(place, said, denied=bool(denied))


def _boxes(text: str) -> Iterator[Statement]:
    last = -_MOST
    for match in list(_BOX.finditer(text))[-_MOST_STATEMENTS:]:
        beside = _BESIDE.fullmatch(text, last, match.start()) is not None if last >= 0 else False
        if match[1]:
            last, inside = match.end(), match[1]
        else:  # one that never closes was cut, and is not read
            end = braced(text, match.end() - 1)
            inside = text[match.end() : end - 1] if end else ""
            last = end or len(text)
        yield Statement(match.start(), "" if beside else inside, exact=True)
