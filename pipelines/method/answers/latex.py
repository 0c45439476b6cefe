"""LaTeX as plain text: `\\frac{1}{2}` is 1/2, `\\text{cm}` is cm, `1,\\!250` is 1,250.

What has no plain form (roots, Greek letters, sets) keeps a sign that no number has.
"""

import re

_TOKEN = re.compile(r"\\(?:[a-zA-Z]+|.|$)|[{}]|[^\\{}]+", re.DOTALL)
_FRACTIONS = {"\\frac", "\\dfrac", "\\tfrac", "\\cfrac", "\\nicefrac", "\\sfrac"}
# Of these, what they take is what is read.
_WRAPPERS = {
    "\\text", "\\textbf", "\\textit", "\\textrm", "\\textsf", "\\texttt", "\\textnormal", "\\emph",
    "\\mathrm", "\\mathbf", "\\mathit", "\\mathsf", "\\mathtt", "\\mathcal", "\\mathbb", "\\bm",
    "\\boldsymbol", "\\bold", "\\mbox", "\\hbox", "\\boxed", "\\fbox", "\\framebox", "\\underline",
    "\\operatorname", "\\unit", "\\si", "\\ensuremath", "\\textsuperscript",
}  # fmt: skip
_SIGNS = {
    "\\times": "×", "\\cdot": "·", "\\div": "÷", "\\pm": "±", "\\approx": "≈", "\\sqrt": "√",
    "\\pi": "π", "\\infty": "∞", "\\circ": "°", "\\degree": "°", "\\percent": "%", "\\%": "%",
    "\\$": "$", "\\#": "#", "\\&": "&", "\\_": "_", "\\{": "(", "\\}": ")", "\\euro": "€",
    "\\pounds": "£", "\\textdollar": "$", "\\ldots": "...", "\\dots": "...", "\\neq": "≠",
    "\\rightarrow": "→", "\\to": "→", "\\Rightarrow": "→", "\\implies": "→", "\\therefore": "→",
}  # fmt: skip
# A thin space is a separator of thousands; a negative one is nothing.
_SPACES = {
    "\\,": "\u2009", "\\;": " ", "\\:": " ", "\\ ": " ", "\\!": "", "\\quad": " ", "\\qquad": " ",
    "\\\\": "\n", "\\(": "", "\\)": "", "\\[": "", "\\]": "", "\\left": "", "\\right": "",
    "\\displaystyle": "", "\\textstyle": "", "\\big": "", "\\Big": "", "\\bigl": "", "\\bigr": "",
    "\\limits": "", "\\newline": "\n", "\\par": "\n", "\\hline": "",
    "\\mathopen": "", "\\mathclose": "", "\\-": "", "\\/": "", "\\thinspace": "\u2009",
}  # fmt: skip
_SIMPLE = re.compile(r"\s*-?[\d.,]+\s*")
# These take what is not read.
_HIDDEN = {
    "\\phantom", "\\hphantom", "\\vphantom", "\\hspace", "\\vspace", "\\label", "\\tag",
    "\\color", "\\textcolor",
}  # fmt: skip
_MARKS = re.compile(r"(?<![A-Za-z\\])\$")
_DEPTH = 30
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[a-zA-Z*]{1,20}\}|(?<!\\)&(?==)")


def plain(text: str) -> str:
    """A formula, or text with formulas, without its marks."""
    # A dollar sign is money where it has no partner or a letter before it; else a formula's mark.
    if "$" in text and text.count("$") % 2 == 0:
        text = _MARKS.sub("", text)
    if "\\" not in text and "{" not in text:
        return text
    text = _ENVIRONMENT.sub(" ", text.replace("{,}", ","))
    return re.sub(" {2,}", " ", _Reader(text).read().replace("^°", "°"))


def braced(text: str, start: int, most: int = 2_000) -> int | None:
    """Where the group ends that opens at `start`; None where it does not within `most`."""
    depth = 0
    for match in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start, start + most):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth -= 1
            if depth == 0:
                return match.end()
    return None


class _Reader:
    def __init__(self, text: str):
        self._tokens = _TOKEN.findall(text)
        self._place = 0
        self._depth = 0

    def read(self) -> str:
        """Up to the end of the group that is open, or of the text."""
        parts: list[str] = []
        while self._place < len(self._tokens):
            token = self._tokens[self._place]
            self._place += 1
            if token == "}":
                if self._depth:
                    break
            elif token == "{":
                parts.append(self._group())
            elif token in _FRACTIONS:
                over, under = self._argument(), self._argument()
                # 2\frac{1}{2} is two and a half.
                apart = " " if parts and parts[-1][-1:].isdigit() else ""
                parts.append(f"{apart}{_grouped(over)}/{_grouped(under)}")
            elif token == "\\sqrt":
                parts.append(f"√{_grouped(self._argument())}")
            elif token in _HIDDEN:
                self._argument()
            elif token in _WRAPPERS:
                parts.append(self._argument())
            elif token[0] == "\\":
                parts.append(_SIGNS.get(token, _SPACES.get(token, f"{token} ")))
            else:
                parts.append(token.replace("~", "\u00a0"))
        return "".join(parts)

    def _group(self) -> str:
        if self._depth == _DEPTH:  # nobody writes so: the rest is no number, whatever it is
            self._place = len(self._tokens)
            return "\\"
        self._depth += 1
        inner = self.read()
        self._depth -= 1
        return inner

    def _argument(self) -> str:
        """A group, a command's sign, or one character."""
        while self._place < len(self._tokens) and not self._tokens[self._place].strip():
            self._place += 1
        if self._place == len(self._tokens):
            return ""
        token = self._tokens[self._place]
        if token == "}":
            return ""
        if token == "{":
            self._place += 1
            return self._group()
        if token[0] == "\\":
            self._place += 1
            return _SIGNS.get(token, token)
        token = token.lstrip()
        self._tokens[self._place] = token[1:]
        if not token[1:]:
            self._place += 1
        return token[0]


def _grouped(text: str) -> str:
    return text.strip() if _SIMPLE.fullmatch(text) else f"({text})"
