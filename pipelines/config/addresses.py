"""Addresses among the config's values, as browsers and sockets have them."""

import re
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator

from pipelines.config.values import Text


def _origin(text: str) -> str:
    """Compared to the letter with what a browser sends, which has small letters and no path."""
    if text != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#\sA-Z]+", text):
        raise ValueError("expected an origin, as https://app.example:8443 (no path), or *")
    return text


_HOST_NAME = re.compile(r"(?![\d.]+$)((?!-)[a-z0-9_-]{1,63}(?<!-)(\.|$))+", re.IGNORECASE)
_NEARLY = {  # what is near to one, and what is wrong with it
    r".*://.*": "it has no scheme",
    r".*[\[\]].*": "an IPv6 address has no brackets here",
    r"[^:]+:\d+": "its port is serve.port",
    r"[\d.]+": "an IPv4 address has four numbers, each 255 at most",
}


def _host(text: str) -> str:
    """As a socket is bound to it."""
    try:
        ip_address(text)
    except ValueError:
        if not _HOST_NAME.fullmatch(text):
            near = (f"; {told}" for form, told in _NEARLY.items() if re.fullmatch(form, text))
            raise ValueError(f"expected an IP address or a host name{next(near, '')}") from None
    return text


Host = Annotated[Text, AfterValidator(_host)]
Origin = Annotated[Text, AfterValidator(_origin)]
