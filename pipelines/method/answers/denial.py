"""What is denied, doubted or refused: an answer that is named there is none."""

import re

from pipelines.method.answers.said import end_of_last

_WORDS = (
    r"not|never|neither|nor|cannot|without|unlike|except|all but|nothing but|doubt(?:s|ed)?|"
    r"whether|unless|suppose|false that|untrue that|why|no longer|hardly|excluded|"
    r"rul(?:e|es|ed|ing) out|exclud(?:e|es|ed|ing)|eliminat(?:e|es|ed|ing)|reject(?:s|ed|ing)?|"
    r"lacks?|nicht|kein(?:e|er|en)?|pas|non|não|не|нет|ikke|inte|niet|nie"
)
_DENIES = re.compile(
    rf"\b(?:{_WORDS})\b|\bif\b|\bca?n['’]t\b|\w*n['’]t\b|≠|!=|不|没|沒", re.IGNORECASE
)
_CLAUSE = re.compile(r"[.;:!?\n,](?=\s)|(?<!\ball)(?<!\bnothing)\sbut\s|\band\s", re.IGNORECASE)
_AT_ONCE = re.compile(rf"[\W_]{{0,9}}(?:{_WORDS}|isn['’]t)\b|[\W_]{{0,9}}(?:不是|≠)", re.IGNORECASE)

_REFUSAL = re.compile(  # of lower-case text
    r"\W{0,9}(?:sorry,? (?:but|i)\b|idk\b|nobody knows|no idea\b|unsure\b|unable to\b|"
    r"(?:i'm|i’m|i am|we're|we are) (?:sorry|not sure|unsure|unable|afraid)|not sure\b|as an ai\b|"
    r"(?:unknown|n/a|undetermined|unclear|no answer)\W{0,9}\Z|not (?:known|applicable)\b|"
    r"there is no (?:answer|solution)\b|"
    r"(?:i|we) (?:do not|don't|don’t|have no) (?:know|have|idea|clue)\b|"
    r"(?:i|we) (?:cannot|can't|can’t|could not|couldn't) "
    r"(?:say|tell|answer|determine|help|provide)\b)"
)
# "The text does not say", in some languages.
_IMPOSSIBLE = re.compile(
    r"\b(?:cannot|can't|can’t|can not|could not|impossible to|not possible to|unable to)\s"
    r"(?:be\s)?(?:determine|answer|know|tell|say|infer|calculate|compute|identif|establish)"
    r"|\b(?:not enough|insufficient|need more) (?:information|data|details|context)\b"
    r"|\bno (?:information|data|details|context) (?:about|on|to|is|given|provided)\b"
    r"|\b(?:does not|doesn't|doesn’t|do not|don't|don’t) "
    r"(?:say|mention|state|specify|tell|provide)\b"
    r"|\b(?:is|are|was|were) not (?:mentioned|stated|given|specified|provided|known)\b"
    r"|\bleider (?:nicht|nichts|keine)\b|\bweiß (?:es |ich )?nicht\b|\bno (?:lo )?sé\b"
    r"|\bne sais pas\b|не знаю|不知道|无法确定|わかりません|모르겠"
)
_HINTS = (
    "no", "n't", "imposs", "unable", "suffic", "more", "sais", "leider",
    "’t", "ß", "не", "不", "无", "せん", "모르",
)  # fmt: skip


def refuses(text: str) -> bool:
    """Whether a text says that it has no answer."""
    low = text[:300].lower()
    if _REFUSAL.match(low):
        return True
    # A search takes time, and most texts have none of these.
    hints = _HINTS[:8] if low.isascii() else _HINTS
    return any(hint in low for hint in hints) and _IMPOSSIBLE.search(low) is not None


def denied_after(before: str) -> bool:
    """Whether what stands right before a name denies or doubts it: "it cannot be", "all but"."""
    return _DENIES.search(before, end_of_last(_CLAUSE, before)) is not None


def begins_denied(text: str) -> bool:
    """Whether a statement begins with a denial: "not A; it is C"."""
    return _AT_ONCE.match(text) is not None
