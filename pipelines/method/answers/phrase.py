"""Kind `text`: a name or a short phrase, compared after folding case, accents and punctuation."""

import re
from collections.abc import Iterator

from pipelines.method.answers.denial import refuses
from pipelines.method.answers.folding import folded
from pipelines.method.answers.latex import plain
from pipelines.method.answers.said import before

# Ends of a sentence: not after an initial, an abbreviation or within a number.
_STOP = re.compile(r"\n|[;!?。！？؟।]|\.(?=\s|$|[\"'”’)*_])")
_NOT = re.compile(r"\W*(?:not|neither)\b", re.IGNORECASE)
_TITLE = re.compile(
    r"(?<![\w'’])(?:St|Ste|Mt|Ft|Dr|Mr|Mrs|Ms|Prof|Gen|Col|Sgt|Capt|Lt|Rev|Hon|Gov|Sen|Rep|vs|approx|"
    r"ca|Jan|Feb|Mar|Apr|Aug|Sept?|Oct|Nov|Dec)\Z"
)
_INITIAL = re.compile(
    r"(?:(?<![\w'’])(?:[^\W\d_]|Jr|Sr|Co|Corp|Inc|Ltd|Bros|Ave|Blvd)|(?:[^\W\d_]\.)+[^\W\d_])\Z"
)
_BEGINS = re.compile(r"\s+(?:It|The|This|That|He|She|They|Its|In|It['’]s)\s")
# After a verb and an initial, so does what has a verb: "is H. Hydrogen is", not "is J. K. Rowling".
_GOES_ON = re.compile(r"\s+[A-Z][^.,;!?\n]{0,60}?\s(?:is|are|was|were|has|have)\s")
# A clause after the answer: a comma before a lower-case word, a bracket, a dash, a reason.
_AFTER = re.compile(
    r",(?=\s+(?:a|an|the|which|who|where|when|while|that|as|so|but|not|for|with|in|on|near|it|its|is|"
    r"was|then|thus|therefore|hence|though|although|also|after|before|located|situated|known|one|"
    r"because|since|and\s+(?:it|that|the|is|has|was)|capital|due|she|he|they|we|you|i|there|this|"
    r"these|those|her|his|their|my|our)\b)"
    r"|\s+[(\[](?=[^)\]]{2,})|\s+[—–-]{1,2}\s+|,?\s+(?:because|since|which)\s|\*\*(?=\s)"
    r"|(?<!\d ):\s"
)
_CLAUSE_END = re.compile(r"[,:()—](?=\s)|\s\((?=\S)")
_QUOTED = re.compile(r"\s*(?:\"([^\"\n]{1,200})\"|“([^”\n]{1,200})”|«([^»\n]{1,200})»)")
_COPULA = re.compile(r"(?:です|である|だ|입니다|이다|이에요|예요)\Z")
_ACRONYM = re.compile(r"(?P<short>[A-Z](?:\.?[A-Z]){1,7}\.?) \((?P<long>[A-Z][^()]{3,60})\)")
_VERB = re.compile(
    r"\s(?:is|are|was|were|es|est|ist|é|è|era|sind|son|sont|är|er|jest|heißt|fue|foi|fu|wurde)\s"
)
_VERB_ZH = re.compile(r"(?<=\w)是(?=\w)")
# "written by X", "known as X", "called X", "signed on 18 March"
_DONE_BY = re.compile(
    r"(?:(?:[^\W\d_]+(?:ed|n|[td][aoe])|built|made|led) (?:by|as|por|par|von|da)|called|named|"
    r"titled) +|(?:[^\W\d_]+ed|born|built|held) (?:on|in) (?=\d|January|February|March|April|May|"
    r"June|July|August|September|October|November|December)"
)
# "So, no": no part of what follows. A title, as "So What", has no comma there.
_CONNECTIVES = "(?:so|thus|hence|therefore)"
_CONNECTIVE = re.compile(
    rf"\A[*_\"']{{0,3}}{_CONNECTIVES}(?:,\s+|\s+(?=(?:yes|no)\b[\W_]*\Z))", re.IGNORECASE
)
_YES_OR_NO = re.compile(
    rf"[*_\"']{{0,3}}(?:{_CONNECTIVES},?\s+)?[*_\"']{{0,3}}(yes|no|true|false)\b"
    r"[*_\"']{0,3}(?:[ \t]*(?:[,.;:!—–\n]|\Z)|[ \t]*-\s)",
    re.IGNORECASE,
)
# What the conclusion is, rather than an answer: "No. The conclusion is not valid."
_JUDGEMENT = re.compile(
    r"\W{0,3}(?:not|(?:in)?valid|(?:un)?sound|(?:un)?supported|(?:in)?correct|wrong|"
    r"(?:un)?justified|(?:un)?warranted)\b"
)
_THEN = re.compile(r"(?<=\w)\s+in\s+\d{3,4}\Z|\s+(?:who|that)\s.*|\s+and\s+\w+ed\b.*")
_PRONOUN = re.compile(r"\b(?:it|this|that)\Z", re.IGNORECASE)
_AND = re.compile(r",?\s(?:and|while|but)\s(?=(?:its|the|it)\s)")
_IT_IS = re.compile(r"\b([Ii]t)['’]s (?=[A-Z\"“*])")
# "The capital of X", not "The Hague" or "Athens".
_SUBJECT = re.compile(
    r"(?i:its|his|her|their|our|this|that|it|he|she|they|there|here|what|so|and|in|of|on|for)\b"
    r"|(?i:the|la|le|les|el|los|die|der|das|il|lo|o|a|os|as|det|den) (?=[a-zß-ÿ])"
    r"|(?i:l['’])(?=[a-zß-ÿ])"
)
# Symbols that are words, too: "He is the symbol of helium".
_SYMBOL = re.compile(r"(?:He|In)\n(?:the|a) (?:\w+ )?symbol\b")
# What is said of a name, rather than a name.
_DESCRIPTION = re.compile(
    r"(?:(?:a|an|one|also|not|now|located|situated|known|found|called|what|how|where|why|that|in|on|"
    r"at|near|very|often|usually|home|about|because|to|being|derived|considered|used|made|un|una|"
    r"une|ein|eine|um|uma)\b|(?:the|la|le|el|die|der|das)\b.*\b(?:of|for|in|de|von|da|do|du|del|d')\b)",
    re.IGNORECASE,
)
_NAMES_IT = re.compile(
    r"(?:the|la|le|el|die|der|das|a capital|o)\b.*\b(?:of|for|in|de|von|da|do|du|del|answer)\b"
    r"|the (?:\w+ )?answer\b",
    re.IGNORECASE,
)
_KIND_OF = re.compile(
    r"(?:the\s+)?(?:city|town|country|state|island|village|word|number|name|term) "
    r"(?:of|called|named)\s+(?=[A-Z\"'“])",
    re.IGNORECASE,
)
_LEAD_IN = re.compile(
    r"\W*(?:sure|okay|ok|certainly|of course|let me|let's|well|here|hello|hi|"
    r"great(?=\W*\Z|[!,.:]| question)|as of|"
    r"according to|in the context|in \d+)\b",
    re.IGNORECASE,
)
# "1. Paris", "- Paris"
_LISTED = re.compile(r"(?:[-•*+>]|1[.)]|\d{1,2}[.)](?=[^\n]{1,40}\Z))[ \t]+(?=\S)")
_SECOND_ITEM = re.compile(r"\s*2[.)]\s")
_LABELLED = re.compile(
    r"[*_]{0,3}(?P<label>[^\W\d_][^:\n*(]{0,48})[*_]{0,3}:[*_]{0,3}[ \t]+(?P<rest>\S.{0,200})"
)
# What a label calls the answer: "Chemical symbol", "Capital of France", "The capital is".
_NOUN = re.compile(
    r"(?:the )?(?:[a-z]+ )?(?:a|ans|artist|author|capital|city|continent|country|currency|date|"
    r"director|element|inventor|language|name|output|person|place|planet|reply|response|result|"
    r"state|symbol|title|winner|year)(?: city| name)?"
    r"(?: (?:of|for|in) (?:(?! is (?!called|named)).){1,40})?(?: is)?",
    re.IGNORECASE,
)
_WRAP = " \t\n*_\"'`“”‘’«»„"


def stated(text: str, *, exact: bool) -> str | None:
    """The name or phrase that a statement consists of or names."""
    said = written(text, exact=exact)
    return folded(said) if said else None


def written(text: str, *, exact: bool) -> str | None:
    """The same as it is written, neither folded nor without its signs."""
    text = _expanded(plain(text))
    if not exact and (quoted := _QUOTED.match(text)):
        text, exact = next(part for part in quoted.groups() if part), True
    text = text.strip(_WRAP)
    if refuses(text):
        return None
    if exact or _NOT.match(text):  # "not recommended" is one, and no name
        return text
    sentence = before(_AFTER, next(_sentences(text), ""))
    return _phrase(_complement(sentence, whatever=True) or sentence)


def decided(text: str) -> str | None:
    """The yes or no, true or false, that a text begins with, set off from what follows."""
    match = _YES_OR_NO.match(plain(text[:100]))
    return match[1].lower() if match else None


def judges(text: str) -> bool:
    """Whether a statement judges the conclusion, and so is no answer beside a yes or a no."""
    return _JUDGEMENT.match(text) is not None


def finished(text: str) -> str:
    """A text that was cut, up to the last sentence or clause that has its end."""
    ends = [match.end() for match in _CLAUSE_END.finditer(text)]
    return text[: max([0, *_stops(text), *ends])]


def named(text: str) -> str | None:
    """What a text that states nothing names: Y of "The capital of X is Y.", or itself."""
    text = _unlisted(_expanded(plain(text)).strip())
    if refuses(text):
        return None
    first = None
    for sentence in _sentences(text):
        leads_in = _LEAD_IN.match(sentence) or sentence[-1:] in (":", "：")
        if first is None and not leads_in:
            if label := _LABELLED.fullmatch(sentence):
                if _NOUN.fullmatch(label["label"]):
                    sentence = label["rest"]
                    if refuses(sentence):
                        return None
                elif _pairs(**label.groupdict()):
                    first = ""  # no name of its own
                    continue
            if len(sentence.split()) <= 3 and not _verb(sentence):
                return folded(_phrase(sentence))  # "No. ...", "Paris. ..."
            first = sentence
        for clause in _AND.split(sentence):
            if (name := _complement(clause, whatever=False)) is not None:
                return folded(_phrase(name))
    return folded(_phrase(_complement(first, whatever=True) or first)) if first else None


def _unlisted(text: str) -> str:
    """A text without the mark of its first item; nothing of a numbered list of names.

    Before more than a name, a number may be the answer: "8. That is oxygen."
    """
    mark = _LISTED.match(text)
    if mark is None:
        return text
    line, _, rest = text[mark.end() :].partition("\n")
    if mark[0][0].isdigit():
        if _SECOND_ITEM.match(rest):
            return text[mark.end() :] if _verb(line) else ""
        if _verb(line) or len(line.split()) > 3:
            return text
    return text[mark.end() :]


def _pairs(label: str, rest: str) -> bool:
    """Whether either of two names may be the answer: "France: Paris", "Au: Gold"."""
    rest = rest.strip(_WRAP)
    return max(len(label.split()), len(rest.split())) <= 3 and rest[:1].isupper()


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for end in [*_stops(text), len(text)]:
        if sentence := text[start:end].strip().rstrip(".。!！?？;；"):
            yield _CONNECTIVE.sub("", sentence)
        start = end


def _stops(text: str) -> Iterator[int]:
    """Where sentences end, after their full stop."""
    start = 0
    for match in _STOP.finditer(text):
        point, place = match.span()
        if match[0] != "." or not _is_short(text, start, point, place):
            start = place
            yield place


def _is_short(text: str, start: int, point: int, place: int) -> bool:
    """Whether a point is that of an abbreviation, and no full stop."""
    title = _TITLE.search(text, max(0, point - 12), point)
    if not title and not _INITIAL.search(text, max(0, point - 12), point):
        return False
    if not text[place:].strip(_WRAP + ".)"):
        return False
    begins = _GOES_ON.match(text, place) and _verb(text[start:point])
    return bool(title or not (begins or _BEGINS.match(text, place)))


def _verb(sentence: str) -> re.Match[str] | None:
    return (_VERB_ZH if "是" in sentence else _VERB).search(sentence)


def _complement(sentence: str, *, whatever: bool) -> str | None:
    """What "The capital of X is Y" and "Y is the capital of X" name: Y.

    None where the sentence names nothing; whatever: unless it has a verb at all.
    """
    match = _verb(sentence)
    if match is None:
        return None
    subject, rest = sentence[: match.start()].strip(_WRAP), sentence[match.end() :].strip(_WRAP)
    described = _SUBJECT.match(subject) and not _SYMBOL.match(f"{subject}\n{rest}")
    if not described and _NAMES_IT.match(rest):
        return subject
    if done := _DONE_BY.match(rest):
        return _THEN.sub("", rest[done.end() :])
    if _PRONOUN.search(subject):
        rest = _THEN.sub("", rest)
        if rest[:1].islower() and not whatever:
            return None  # "it is late"
    rest = _KIND_OF.sub("", rest, count=1)
    return rest if whatever or not _DESCRIPTION.match(rest) else None


def _phrase(text: str) -> str:
    """A phrase without the clause that follows it."""
    text = text.strip(_WRAP)
    return _COPULA.sub("", before(_AFTER, text).strip(_WRAP))


def _expanded(text: str) -> str:
    text = _IT_IS.sub(r"\1 is ", text)
    return _ACRONYM.sub(_in_full, text) if "(" in text else text


def _in_full(match: re.Match[str]) -> str:
    """The long form of "USA (United States of America)"."""
    initials = "".join(word[0] for word in re.findall(r"[A-Z]\w*", match["long"]))
    return match["long"] if initials == match["short"].replace(".", "") else match[0]
