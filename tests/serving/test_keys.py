"""Who may ask: keys from the environment and a file, none of which is told or kept."""

import pytest

from pipelines.config.serving import ServeConfig
from pipelines.serving import keys
from pipelines.serving.errors import RequestError


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    monkeypatch.delenv(keys.VARIABLE, raising=False)


def test_keys_of_the_environment_and_a_file(tmp_path, monkeypatch):
    file = tmp_path / "keys"
    file.write_text("three\n\n  four  \none\n# five\n #six\n")
    monkeypatch.setenv(keys.VARIABLE, "one, two")
    digests = keys.read(ServeConfig(api_keys_file=str(file)))
    owners = [keys.owner(digests, key) for key in ("one", "two", "three", "four")]
    assert len(set(owners)) == len(digests) == 4
    for secret in (b"one", b"two", b"three", b"four"):
        assert not any(secret in digest for digest in digests)
    for wrong in ("# five", "#six", "five", "", "on", "one ", "ONE", "öne", "\udcff", None):
        with pytest.raises(RequestError) as told:
            keys.owner(digests, wrong)
        assert (told.value.status, told.value.code) == (401, "invalid_api_key")


def test_without_keys_anybody_may_ask():
    assert keys.read(ServeConfig()) == ()
    assert keys.owner((), None) == keys.owner((), "any") == ""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        (b"", "no key is in there"),
        (b"#old\n # older\n", "no key is in there"),
        (b"\n \n", "no key is in there"),
        (b"one two\n", "a key has a space"),
        (b"\xff\xfe", "it is no text"),
    ],
)
def test_a_file_that_has_none_is_refused_and_nothing_of_it_told(tmp_path, content, says):
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=says) as told:
        keys.read(ServeConfig(api_keys_file=str(file)))
    assert str(told.value).startswith(f"serve.api_keys_file: {file}: ")
    assert "one two" not in str(told.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LocalHost"])
def test_a_machines_own_address_wants_no_keys(host):
    keys.check_wanted(host, ())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_others_do(host):
    with pytest.raises(ValueError, match=f"^serve.host: at {host} other machines can ask"):
        keys.check_wanted(host, ())
    keys.check_wanted(host, (b"digest",))
