"""Addresses among the config's values, as browsers and sockets have them."""

import re
from typing import Annotated

from pydantic import AfterValidator

from pipelines.config.values import Text


def _origin(text: str) -> str:
    """Compared to the letter with what a browser sends, which has small letters and no path."""
    if text != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#\sA-Z]+", text):
        raise ValueError("expected an origin, as https://app.example:8443 (no path), or *")
    return text


Origin = Annotated[Text, AfterValidator(_origin)]
