"""What of a response is said to the reader: no thoughts, and no question of the model's own."""

import html
import re

_END = 10_000  # characters at either end of a response that are read

_THOUGHTS = "(?i:think|thinking|thought|thoughts|reasoning|scratchpad)"
_THOUGHTS_END = re.compile(
    rf"</(?:\w{{1,12}}:)?{_THOUGHTS}>|\[/THINK\]|<\|END_THINKING\|>|◁/think▷|<\|end_of_thought\|>"
    r"|<\|channel\|>\s{0,3}final[^<]{0,40}<\|message\|>|<\|?channel\|?>\s{0,3}final\b|<channel\|>"
)
# At the beginning of a line: amid one it is a word that is spoken of.
_THOUGHTS_BEGIN = re.compile(
    rf"(?m)^\s*+(?:<(?:\w{{1,12}}:)?{_THOUGHTS}>|\[THINK\]|<\|START_THINKING\|>|◁think▷|<\|begin_of_thought\|>"
    r"|<\|channel\|?>\s{0,3}(?:analysis|thought|commentary))"
)
# The same channels where the tokenizer left their special tokens out.
_ANALYSIS = re.compile(r"analysis(?=[^\s:,.])")
_FINAL = re.compile(r"assistant\s{0,3}final")
_BLANK = re.compile(r"\s{3,}")
_SPECIAL = re.compile(r"<\|[^|<>\n]{1,40}\|>")  # of a tokenizer: no part of what is said


def after_thoughts(text: str) -> str | None:
    """What a response says after its thoughts; None where they never end."""
    if "<" in text or "[" in text or "◁" in text:
        text = text[end_of_last(_THOUGHTS_END, text) :]
        if _THOUGHTS_BEGIN.search(text):
            return None
    if _ANALYSIS.match(text):
        end = end_of_last(_FINAL, text)
        return text[end:] if end else None
    return text


def ends(text: str) -> str:
    """The text, or of a long one what its first and last 10,000 characters say."""
    text = text.strip()
    if "&" in text and ";" in text:
        text = html.unescape(text)
    if "<|" in text:
        text = _SPECIAL.sub(" ", text)
    if len(text) > 2 * _END:
        text = f"{head(text, _END)}\n\n{tail(text, _END)}"
    if "   " in text or "\n\n\n" in text or not text.isascii() or "\t" in text or "\r" in text:
        text = _BLANK.sub(lambda m: "\n\n" if "\n" in m[0] else "  ", text)
    return text.strip()


def before(end: re.Pattern[str], text: str) -> str:
    """What stands before the first match of a pattern, which is not looked for at the start."""
    match = end.search(text, 1)
    return text[: match.start()] if match else text


def end_of_last(pattern: re.Pattern[str], text: str) -> int:
    """Where the last match of a pattern ends; 0 where there is none."""
    end = 0
    for match in pattern.finditer(text):
        end = match.end()
    return end


def head(text: str, most: int) -> str:
    """The words within the first characters, each whole."""
    if len(text) <= most or text[most].isspace():
        return text[:most]
    words, *last = text[:most].rsplit(maxsplit=1)
    return words if last else ""


def tail(text: str, most: int) -> str:
    """The words within the last characters, each whole."""
    if len(text) <= most or text[-most - 1].isspace():
        return text[-most:]
    _, *words = text[-most:].split(maxsplit=1)
    return words[0] if words else ""


# A model that goes on with the next question of its own answers that one, too. A heading may have
# the question on its next line, without a colon.
_NEXT = re.compile(
    r"\n\s*+(?P<mark>[#*_>][#*_> \t]{0,8})?(?:(?i:(?:next|new|another|follow-?up) "
    r"(?:question|problem))|"
    r"Question|Q|Problem|Passage|Context|Human|User|Instruction|Input|Exercise|Frage|"
    r"Example(?= [2-9])|"
    r"Pregunta|Pergunta|Domanda|Вопрос|Задача|问题|問題|质问|質問|题目|질문|문제|प्रश्न)"
    r"[ \t]{0,3}\d{0,3}[*_]{0,3}[ \t]{0,3}(?:[:：]|(?(mark)\n|(?!)))"
)


def parts(text: str) -> list[str]:
    """The text up to a next question that the model put to itself, and what follows it."""
    match = _NEXT.search(text) if "\n" in text else None
    return [text[: match.start()], text[match.start() :]] if match else [text]
