"""Whether a prompt and its samples fit the model, and what is told where they do not."""

from dataclasses import replace

import pytest
from decided import PLAN

from pipelines.config import Config
from pipelines.method.prompts import Prompts
from pipelines.serving.completion import RawPrompt
from pipelines.serving.errors import RequestError
from pipelines.serving.fit import fitted
from pipelines.serving.wire import Asked

MOST = 100


@pytest.fixture(scope="module")
def prompts(smollm):
    return Prompts.load(smollm)


def config(**serve):
    return Config.model_validate(
        {
            "root": "r",
            "model": {"source": "m"},
            "data": {"train": [{"name": "capitals"}]},
            "sampling": {"max_tokens": 8},
            "engine": {"max_model_len": MOST},
            "serve": serve,
        }
    )


def asked(prompt, named):
    return Asked("m", PLAN, RawPrompt(prompt), named, [], False, 0.0)


def test_the_usual_length_is_cut_to_what_fits(prompts):
    usual, turn = PLAN.drawing.max_tokens, len(prompts.turn_ids)
    ids, plan = fitted(config(), prompts, asked([5] * 10, named=False))
    assert (ids, plan) == ([5] * 10, PLAN)
    for left in (usual, usual - 1, 1):
        ids, plan = fitted(config(), prompts, asked([5] * (MOST - turn - left), named=False))
        assert plan.drawing.max_tokens == left
    with pytest.raises(RequestError, match=f"has {MOST - turn} tokens, and {MOST - turn - 1} fit"):
        fitted(config(), prompts, asked([5] * (MOST - turn), named=False))


def test_a_promise_takes_no_shorter_samples(prompts):
    """Evaluation leaves out what it has no room for."""
    room = MOST - len(prompts.turn_ids) - PLAN.drawing.max_tokens
    promised = replace(asked([5] * room, named=False), plan=replace(PLAN, promised=True))
    assert fitted(config(), prompts, promised)[1] == promised.plan
    with pytest.raises(RequestError, match="promised for samples of 64 tokens, and 63 fit") as told:
        fitted(config(), prompts, replace(promised, prompt=RawPrompt([5] * (room + 1))))
    assert (told.value.status, told.value.code) == (409, "not_calibrated")
    assert told.value.param == "scaling.target"


def test_a_length_that_is_asked_for_is_kept_or_refused(prompts):
    room = MOST - len(prompts.turn_ids) - PLAN.drawing.max_tokens
    assert fitted(config(), prompts, asked([5] * room, named=True))[1] == PLAN
    with pytest.raises(RequestError, match="max_completion_tokens") as told:
        fitted(config(), prompts, asked([5] * (room + 1), named=True))
    assert (told.value.param, told.value.code) == ("prompt", "context_length_exceeded")


def test_a_server_may_take_less(prompts):
    made = config(max_prompt_tokens=7)
    assert fitted(made, prompts, asked([5] * 7, named=True))[0] == [5] * 7
    with pytest.raises(RequestError, match=r"8 tokens, and this server takes 7 \(serve"):
        fitted(made, prompts, asked([5] * 8, named=True))


def test_what_cannot_fit_is_not_read(prompts):
    """A text of so many characters has more tokens, whatever it says."""
    assert prompts.longest_token >= max(len(prompts.tokenizer.decode([i])) for i in range(2000))

    class Unread(RawPrompt):
        def ids(self, prompts):
            raise AssertionError("it was read")

    long = Unread("a" * MOST * prompts.longest_token)
    with pytest.raises(RequestError, match="the prompt has over "):
        fitted(config(), prompts, Asked("m", PLAN, long, False, [], False, 0.0))
