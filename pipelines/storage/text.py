"""Text that people bring: bytes of a file, what is wrong with a text, and how messages show it."""

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def decode(data: bytes, path: str, unit: str = "line", before: int = 0) -> str:
    """UTF-8, with or without a byte-order mark; ValueError with the file and the line.

    unit: what the file calls a line. before: how many of them come before the data.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Without the mark, an error's place counts from what follows it.
        bad = error.object[error.start]
        number = error.object[: error.start].count(b"\n") + 1 + before
        raise ValueError(
            f"{path}, {unit} {number}: not UTF-8 (byte 0x{bad:02x}); save the file as UTF-8"
        ) from None


def flaw(text: str) -> str | None:
    """What a text holds that no tokenizer and no store takes; None where it is clean."""
    if "\0" in text:
        return "NUL characters"
    if _SURROGATE.search(text):
        return "lone surrogates, halves of characters"
    return None


def short(text: str) -> str:
    """A text as messages show it."""
    return text if len(text) <= 80 else f"{text[:80]}..."
