"""API keys: who may ask, read from the environment or a file.

Only digests are kept and handed on, so that no key is in a log, a config or Ray's own store.
"""

import hashlib
import hmac
import os
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from pipelines.config.serving import ServeConfig
from pipelines.serving.errors import RequestError

VARIABLE = "SELFCAL_API_KEYS"


def read(serve: ServeConfig) -> tuple[bytes, ...]:
    """Digests of the keys in $SELFCAL_API_KEYS, apart by spaces or commas, and in
    serve.api_keys_file, one a line, where lines that begin with # are comments. ValueError, which
    names no key, where it cannot be read."""
    found = os.environ.get(VARIABLE, "").replace(",", " ").split()
    if file := serve.api_keys_file:
        try:
            lines = Path(file).expanduser().read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise ValueError(f"serve.api_keys_file: {file}: {reason}") from None
        stripped = (line.strip() for line in lines)
        in_file = [line for line in stripped if line and not line.startswith("#")]
        if not in_file:
            raise ValueError(f"serve.api_keys_file: {file}: no key is in there, one a line")
        if any(" " in key for key in in_file):
            raise ValueError(f"serve.api_keys_file: {file}: a key has a space; write one a line")
        found += in_file
    if not all(key.isascii() for key in found):  # HTTP's headers have no others
        raise ValueError(f"${VARIABLE} and serve.api_keys_file: a key is not of ASCII characters")
    return tuple(digest(key) for key in dict.fromkeys(found))


def check_wanted(host: str, keys: Sequence[bytes]) -> None:
    """ValueError where other machines could ask at this host and there are no keys."""
    if not keys and not _is_loopback(host):
        raise ValueError(
            f"serve.host: at {host} other machines can ask; set API keys, by "
            f"${VARIABLE} or serve.api_keys_file"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost"


def owner(keys: Sequence[bytes], key: str | None) -> str:
    """Which of the keys a request has, by number; "" where none is wanted. RequestError where it
    has none of them. Each is compared, in a time that tells nothing of them."""
    if not keys:
        return ""
    given = digest(key or "")
    same = [str(number) for number, one in enumerate(keys) if hmac.compare_digest(one, given)]
    if key is None or not same:
        what = "wrong" if key else "missing"
        line = f"the API key is {what}; send it as `Authorization: Bearer KEY`"
        raise RequestError(401, line, code="invalid_api_key")
    return same[0]


def digest(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
