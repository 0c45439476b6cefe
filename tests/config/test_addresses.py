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


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "0.0.0.0", "::", "::1", "fe80::1%eth0", "localhost", "LOCALHOST", "a-b.example",
     "node_1", "a.example."],
)  # fmt: skip
def test_a_host(host):
    assert ServeConfig(host=host).host == host


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://localhost", "it has no scheme"),
        ("localhost:8000", "its port is serve.port"),
        ("[::1]", "an IPv6 address has no brackets here"),
        ("[::1]:8000", "an IPv6 address has no brackets here"),
        ("127.1", "an IPv4 address has four numbers"),
        ("2130706433", "an IPv4 address has four numbers"),
        ("10.0.0.256", "an IPv4 address has four numbers"),
        ("localhost/x", "an IP address or a host name"),
        ("a b", "an IP address or a host name"),
        ("-a.example", "an IP address or a host name"),
        ("a..example", "an IP address or a host name"),
        ("::g", "an IP address or a host name"),
        ("0.0.0.0/0", "an IP address or a host name"),
    ],
)
def test_what_is_no_host_is_told_how_to_be_one(text, says):
    with pytest.raises(ValidationError, match=rf"(?s)^1 .*\nhost\n.*{says}"):
        ServeConfig(host=text)
