"""Bytes of a file as text."""


def decode(data: bytes, path: str, unit: str = "line") -> str:
    """UTF-8, with or without a byte-order mark; ValueError with the file and the line.

    unit: what the file calls a line.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Without the mark, an error's place counts from what follows it.
        bad = error.object[error.start]
        number = error.object[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, {unit} {number}: not UTF-8 (byte 0x{bad:02x}); save the file as UTF-8"
        ) from None
