"""A completion request: a text, or a list of one, or its token ids."""

import pytest
from pydantic import ValidationError

from pipelines.method.prompts import Prompts
from pipelines.serving.completion import CompletionRequest
from pipelines.serving.errors import RequestError


@pytest.fixture(scope="module")
def prompts(smollm):
    return Prompts.load(smollm)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_prompt_is_taken_as_it_is(prompts, wrapped):
    ids = prompts.tokenizer.encode("Once upon a time")
    assert len(ids) > 2
    for prompt in ("Once upon a time", ids):
        request = CompletionRequest(prompt=[prompt] if wrapped else prompt)
        assert request.asks.ids(prompts) == ids
    assert request.question == ""
    assert CompletionRequest(prompt="(A) one (B) two").question == "(A) one (B) two"


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("", "at least 1 character"),
        ([], "at least 1"),
        ([[]], "at least 1"),
        (["a b", "c d"], "a request for each"),
        ([[1, 2], [3, 4]], "a request for each"),
        ([1, -1], "greater than or equal to 0"),
        ([True, 1], "valid"),
        ([1.5, 2], "valid"),
        (["a", 1], "valid"),
        ("a\0b", "NUL"),
        (None, "valid"),
        ({"text": "a"}, "valid"),
    ],
)
def test_what_is_no_prompt_is_refused(prompt, says):
    with pytest.raises(ValidationError, match=says):
        CompletionRequest(prompt=prompt)


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("a", "two tokens or more"),
        ([5], "two tokens or more"),
        ([5, 10**9], "1000000000 is no token"),
    ],
)
def test_what_the_engine_could_not_take_is_refused(prompts, prompt, says):
    with pytest.raises(RequestError, match=says) as told:
        CompletionRequest(prompt=prompt).asks.ids(prompts)
    assert (told.value.status, told.value.param) == (400, "prompt")


@pytest.mark.parametrize(
    "fields", [{"echo": True}, {"best_of": 2}, {"suffix": "end"}, {"logprobs": 1}]
)
def test_what_is_not_done_is_refused_by_its_field(fields):
    (name,) = fields
    with pytest.raises(RequestError, match=f"^{name}: this server does not do that"):
        CompletionRequest(prompt="a b", **fields).ignored()
    nothing = {"echo": False, "best_of": 1, "suffix": None, "logprobs": None}
    assert CompletionRequest(prompt="a b", **nothing).ignored() == []


def test_of_many_faults_few_are_looked_for():
    for prompt in ([-1] * 10_000, [[]] * 10_000, [[-1] * 10_000], ["a"] * 10_000):
        with pytest.raises(ValidationError) as told:
            CompletionRequest(prompt=prompt)
        assert told.value.error_count() < 20
