"""Addresses in a config: written as browsers and sockets have them."""

import pytest
from pydantic import ValidationError

from pipelines.config.serving import ServeConfig


@pytest.mark.parametrize(
    "origin", ["*", "http://localhost", "https://a.example:8443", "chrome-extension://abc"]
)
def test_an_origin(origin):
    assert ServeConfig(allowed_origins=[origin]).allowed_origins == (origin,)


@pytest.mark.parametrize(
    "text",
    ["a.example", "http://a.example/", "http://A.example", "http://a/b", "http://*.a b", "", "x*"],
)
def test_what_no_browser_sends_as_an_origin_is_refused(text):
    with pytest.raises(ValidationError, match=r"allowed_origins\.0"):
        ServeConfig(allowed_origins=[text])
