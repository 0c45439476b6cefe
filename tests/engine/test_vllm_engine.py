"""The real engine on a tiny model: exact sampling, P(True), seeds, aborts, both plugin routes."""

import asyncio
import importlib.metadata
import json
import math
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from chi_square import p_value
from ports import free_port
from processes import ROOT, kill_with_children
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed
from torch.overrides import TorchFunctionMode

from pipelines.config import ConfidenceConfig, EngineConfig, SamplingConfig
from pipelines.engine.protocol import Counters, Drawing
from pipelines.engine.sampling import QuerySampler, label_query, request_key, sample_room
from pipelines.method.keyed_draw import uniforms
from pipelines.method.prompts import Prompts
from pipelines.method.token_facts import token_facts
from pipelines.method.tokenizer import load_tokenizer

TOKENS = 8
DRAWING = Drawing.of(SamplingConfig(max_tokens=TOKENS))
QUESTIONS = ("What is 2 + 2?", "Name a colour.", "What is the capital of France?")
ENGINE = EngineConfig(
    dtype="float32", block_size=32, kv_cache_gib=0.3, max_model_len=512, enforce_eager=True
)

# vLLM's config, as the processor reads it.
COLD = SimpleNamespace(additional_config={}, scheduler_config=SimpleNamespace(max_num_seqs=8))


class Driven:
    """An engine and the event loop that it lives in.

    spent: what the last draws and scores cost. chosen: of their drawing.
    """

    def __init__(self, model, scoring="yes", engine=ENGINE):
        self.runner = asyncio.Runner()
        self.engine = self.runner.run(
            self._make(str(model), engine, ConfidenceConfig(kind=scoring))
        )
        self.prompts = self.engine.prompts

    async def _make(self, *arguments):
        from pipelines.engine.vllm_engine import VLLMEngine

        return VLLMEngine(*arguments)

    def draw(self, *requests, heard=None, **chosen):
        """(prompt_ids, key) each -> what was generated, all at once and in this order."""
        self.spent, drawing = Counters(), replace(DRAWING, **chosen)

        async def one(ids, key):
            draw = await self.engine.draw(ids, key, drawing, self.spent, heard)
            draw.release()
            return draw.generated

        return self.runner.run(gather(one(ids, key) for ids, key in requests))

    def score(self, *requests, **chosen):
        """The same, with their scores."""
        self.spent, drawing = Counters(), replace(DRAWING, **chosen)

        async def one(ids, key):
            draw = await self.engine.draw(ids, key, drawing, self.spent)
            return draw.generated, await draw.score()

        return self.runner.run(gather(one(ids, key) for ids, key in requests))

    def close(self):
        self.engine.shutdown()
        self.runner.close()


async def gather(coroutines):
    return await asyncio.gather(*coroutines)


@pytest.fixture(scope="module")
def driven(tiny):
    made = Driven(tiny)
    yield made
    made.close()


@pytest.fixture(scope="module")
def reference(tiny):
    """The same weights in transformers: ids -> the next token's logits, in float64."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()

    def logits(ids):
        with torch.no_grad():
            return model(torch.tensor([ids])).logits[0, -1].double()

    return logits


def test_p_true_is_the_models_probability_of_yes(driven, reference):
    """Of responses that ended and of ones cut at max_tokens; the turn alone is computed."""
    asked = [(driven.prompts.sampling_ids(QUESTIONS[i % 3]), 100 + i) for i in range(24)]
    drawn = driven.score(*asked)
    assert {one.finish_reason for one, _ in drawn} == {"stop", "length"}
    for (ids, _), (one, scored) in zip(asked, drawn, strict=True):
        whole = [*ids, *one.token_ids, *driven.prompts.turn_ids]
        p = reference(whole).softmax(-1)
        yes, no = float(p[driven.prompts.yes_id]), float(p[driven.prompts.no_id])
        assert scored.p_true == pytest.approx(yes, rel=1e-3)
        assert scored.mass == pytest.approx(yes + no, rel=1e-3)
        assert scored.tokens == len(whole)
        cut = one.finish_reason == "length"
        assert scored.tokens - scored.cached_tokens == len(driven.prompts.turn_ids) + cut


def test_labels_compute_the_turn_alone_and_once_for_equal_responses(driven):
    """The counts that the benchmark of scores is made of."""
    query = {
        "query_id": "q", "kind": "text", "prompt_ids": driven.prompts.sampling_ids(QUESTIONS[0]),
    }  # fmt: skip
    labeled = driven.runner.run(label_query(driven.engine, DRAWING, 0, query, 24, sample_room(256)))
    different = {
        tuple(ids): sample["finish_reason"] == "length"
        for ids, sample in zip(labeled["response_ids"], labeled["samples"], strict=True)
    }
    counters = labeled["counters"]
    assert counters["scored_responses"] == len(different)
    turn = len(driven.prompts.turn_ids)
    assert counters["scored_tokens"] == sum(turn + cut for cut in different.values())


@pytest.mark.parametrize("kind", ["yes_no", "yes_top20"])
def test_other_confidences(tiny, reference, kind):
    driven = Driven(tiny, kind)
    try:
        ids = driven.prompts.sampling_ids(QUESTIONS[0])
        ((one, scored),) = driven.score((ids, 1), max_tokens=4)
        p = reference([*ids, *one.token_ids, *driven.prompts.turn_ids]).softmax(-1)
        if kind == "yes_no":
            yes, no = p[driven.prompts.yes_id], p[driven.prompts.no_id]
            expected, mass = float(yes / (yes + no)), float(yes + no)
        else:
            decode = driven.prompts.tokenizer.decode
            top = [(float(p[i]), decode([int(i)])) for i in p.topk(20).indices]
            expected = sum(one for one, text in top if "Yes" in text)
            mass = expected + sum(one for one, text in top if text.strip(" .,") == "No")
        assert scored.p_true == pytest.approx(expected, rel=1e-3, abs=1e-12)
        assert scored.mass == pytest.approx(mass, rel=1e-3, abs=1e-12)
    finally:
        driven.close()


def test_what_a_turn_begins_with_is_computed_once(tiny, driven, reference, tmp_path):
    """A response may end in what the template puts before the end token, as Llama 2's in a space:
    so the template here puts a word there that a response ended in."""
    asked = [(driven.prompts.sampling_ids(QUESTIONS[0]), key) for key in range(12)]
    encode, decode = driven.prompts.tokenizer.encode, driven.prompts.tokenizer.decode
    last = [one.token_ids[-1] for one in driven.draw(*asked) if one.finish_reason == "length"]
    (word, *_) = (i for i in last if encode("a" + decode([i]))[1:] == [i])
    model = shutil.copytree(tiny, tmp_path / "model")
    template = (model / "chat_template.jinja").read_text()
    said = f"+ ({decode([word])!r} if message['role'] == 'assistant' else '') + '<|im_end|>'"
    assert "+ '<|im_end|>'" in template
    (model / "chat_template.jinja").write_text(template.replace("+ '<|im_end|>'", said))
    other = Driven(model)
    try:
        turn, yes = other.prompts.turn_ids, other.prompts.yes_id
        drawn = other.score(*asked)
    finally:
        other.close()
    assert turn == [word, *driven.prompts.turn_ids]
    cut = [one for one, _ in drawn if one.finish_reason == "length"]
    assert any(len(one.token_ids) < TOKENS for one in cut), "the word is left to the turn"
    for (ids, _), (one, scored) in zip(asked, drawn, strict=True):
        expected = reference([*ids, *one.token_ids, *turn]).softmax(-1)[yes]
        assert scored.p_true == pytest.approx(float(expected), rel=1e-3)


def test_a_response_ends_at_the_end_of_a_turn(tiny, tmp_path):
    """Also where the model's files call another token the end, which vLLM alone would wait for."""
    model = shutil.copytree(tiny, tmp_path / "model")
    end = Prompts.load(tiny).tokenizer.eos_token_id
    for name, other in (
        ("tokenizer_config", "<|endoftext|>"),
        ("config", 0),
        ("generation_config", 0),
    ):
        settings = json.loads((model / f"{name}.json").read_text())
        settings["eos_token" if name == "tokenizer_config" else "eos_token_id"] = other
        (model / f"{name}.json").write_text(json.dumps(settings))
    driven = Driven(model)
    try:
        assert driven.prompts.end_ids == {0, end}
        drawn = driven.draw(*((driven.prompts.sampling_ids(QUESTIONS[0]), i) for i in range(16)))
    finally:
        driven.close()
    assert {one.finish_reason for one in drawn} == {"stop", "length"}
    assert not any({0, end} & set(one.token_ids) for one in drawn)


def test_a_word_that_the_files_call_an_end_ends_nothing(tiny, driven, tmp_path):
    """vLLM would stop at it."""
    asked = [(driven.prompts.sampling_ids(QUESTIONS[0]), key) for key in range(8)]
    expected = [one.token_ids for one in driven.draw(*asked)]
    word = next(ids[1] for ids in expected if len(ids) > 2)
    model = shutil.copytree(tiny, tmp_path / "model")
    for name in ("config", "generation_config"):
        settings = json.loads((model / f"{name}.json").read_text())
        settings["eos_token_id"] = [settings["eos_token_id"], word]
        (model / f"{name}.json").write_text(json.dumps(settings))
    other = Driven(model)
    try:
        drawn = other.draw(*asked)
    finally:
        other.close()
    assert [one.token_ids for one in drawn] == expected


def edt_distribution(logits, t0=0.8, base=0.8, theta=1.0):
    """softmax(logits / T), T by the definition, with math on the side of the implementation."""
    p = logits.softmax(-1)
    entropy = -sum(float(v) * math.log(float(v)) for v in p if v > 0)
    return (logits / (t0 * base ** (theta / entropy))).softmax(-1)


def test_the_sampled_distribution_is_the_intended_one(driven, reference):
    """Chi-square of 3,000 first tokens; then of second tokens after the commonest first."""
    ids = driven.prompts.sampling_ids(QUESTIONS[1])
    asked = [(ids, request_key(7, "chi", i)) for i in range(3000)]
    drawn = [with_end(driven, one) for one in driven.draw(*asked, max_tokens=2)]
    first = [tokens[0] for tokens in drawn]
    assert fits(first, edt_distribution(reference(ids)))
    end = driven.prompts.tokenizer.eos_token_id
    common = max(set(first) - {end}, key=first.count)
    second = [tokens[1] for tokens in drawn if tokens[0] == common]
    assert len(second) > 100
    assert fits(second, edt_distribution(reference([*ids, common])))


def with_end(driven, generated):
    """The tokens as they were drawn: responses are kept without their end token."""
    ended = generated.finish_reason == "stop"
    return [*generated.token_ids, *[driven.prompts.tokenizer.eos_token_id] * ended]


def fits(tokens, p):
    """Whether tokens are drawn from p: chi-square over groups of the shuffled vocabulary.

    Groups of about equal mass serve flat and peaked distributions alike.
    """
    groups = min(50, len(tokens) // 10)
    shuffled = torch.randperm(len(p), generator=torch.Generator().manual_seed(0))
    before = torch.zeros_like(p)
    before[shuffled] = p[shuffled].cumsum(0) - p[shuffled]
    group = (before * groups).long().clamp_max(groups - 1)
    expected = torch.zeros(groups, dtype=p.dtype).index_add(0, group, p) * len(tokens)
    seen = torch.bincount(group[torch.tensor(tokens)], minlength=groups)
    filled = expected > 0  # a common token may span several groups
    return p_value(seen[filled], expected[filled]) > 1e-3


@pytest.mark.parametrize(("temperature", "top_p"), [(0.5, 1.0), (2.0, 0.6)])
def test_fixed_temperature(driven, reference, temperature, top_p):
    ids = driven.prompts.sampling_ids(QUESTIONS[2])
    chosen = {"max_tokens": 1, "method": "fixed", "temperature": temperature, "top_p": top_p}
    drawn = driven.draw(*((ids, key * 977) for key in range(2000)), **chosen)
    tokens = [with_end(driven, one)[0] for one in drawn]
    p = (reference(ids) / temperature).softmax(-1)
    falling, order = p.sort(descending=True)
    p[order[falling.cumsum(0) - falling >= top_p]] = 0
    assert set(tokens) <= set(p.nonzero().flatten().tolist())
    assert fits(tokens, p / p.sum())


def test_temperature_zero_is_greedy_whatever_the_key(driven, reference):
    ids = driven.prompts.sampling_ids(QUESTIONS[0])
    drawn = driven.draw(*((ids, key) for key in range(3)), temperature=0.0, top_p=0.5)
    first, *others = (with_end(driven, one) for one in drawn)
    assert others == [first, first]
    for count, token in enumerate(first):
        assert token == reference([*ids, *first[:count]]).argmax()


def test_requests_that_are_drawn_in_their_own_ways_share_a_batch(driven):
    ids = driven.prompts.sampling_ids(QUESTIONS[0])
    ways = [
        {},
        {"temperature": 0.0},
        {"method": "fixed", "temperature": 1.0},
        {"method": "fixed", "temperature": 1.0, "top_p": 0.5},
        {"temperature": 0.5, "max_tokens": 3},
    ]

    async def one(way, key):
        draw = await driven.engine.draw(ids, key, replace(DRAWING, **way), Counters())
        await draw.score()
        return draw.generated.token_ids

    asked = [(way, key) for key in range(4) for way in ways]
    together = driven.runner.run(gather(one(*each) for each in asked))
    alone = [driven.draw((ids, key), **way)[0].token_ids for way, key in asked]
    assert together == alone
    assert len({tuple(each) for each in together}) > 10


def test_the_facts_of_tokens_are_the_models_own_at_a_temperature_of_one(driven, reference):
    """However a response is drawn, and whatever else is in the batch: other draws, and scores. What
    is told changes neither draw nor score."""
    from pipelines.method.token_confidences import TOP

    ways = [
        {},
        {"method": "fixed", "temperature": 1.3, "top_p": 0.6},
        {"method": "fixed", "temperature": 0.0},
        {"stop": ("e",)},
    ]
    ids = [driven.prompts.sampling_ids(question) for question in QUESTIONS]
    asked = [(prompt, 500 + i, ways[i % 4]) for i, prompt in enumerate(ids * 8)]

    async def one(prompt, key, way, tells):
        drawing = replace(DRAWING, tells=tells, **way)
        draw = await driven.engine.draw(prompt, key, drawing, Counters(), live=bool(key % 3))
        return draw.generated, await draw.score()

    both = [one(*each, tells) for each in asked for tells in (True, False)]
    made = driven.runner.run(gather(both))
    told, untold = made[::2], made[1::2]
    for (prompt, *_), (given, scored), (plain, alone) in zip(asked, told, untold, strict=True):
        assert plain.facts is None
        assert replace(given, facts=None, cached_tokens=0) == replace(plain, cached_tokens=0)
        assert scored.p_true == pytest.approx(alone.p_true, rel=1e-4)
        if not given.token_ids:
            assert given.facts is None
            continue
        expected = []
        for place, token in enumerate(given.token_ids):
            logs = reference([*prompt, *given.token_ids[:place]]).log_softmax(-1)
            top = logs.topk(TOP).values
            entropy = torch.distributions.Categorical(logits=top).entropy()
            expected.append([float(logs[token]), float(top.mean()), float(entropy)])
        np.testing.assert_allclose(np.array(given.facts).T, expected, atol=1e-3)
    assert sum(bool(given.token_ids) for given, _ in told) > 20


def test_a_response_is_heard_as_it_comes(driven):
    ids = driven.prompts.sampling_ids(QUESTIONS[0])
    for key in range(12):
        pieces = []
        (one,) = driven.draw((ids, key), heard=pieces.append)
        assert [one] == driven.draw((ids, key))
        assert "".join(pieces) == one.text
        assert len(pieces) > 1 or len(one.token_ids) < 2


def test_a_long_response_is_heard_and_counted_before_it_ends(driven):
    """And is not drawn much past a stop string."""
    ids = driven.prompts.sampling_ids(QUESTIONS[0])
    long, counted = 0, set()
    for key in range(6):
        driven.draw(
            (ids, key), max_tokens=200, heard=lambda _: counted.add(driven.spent.generated_tokens)
        )
        long += driven.spent.generated_tokens
    assert len(counted) > 20
    for key in range(6):
        driven.draw((ids, key), max_tokens=200, stop=tuple("aeiou"))
        long -= 2 * driven.spent.generated_tokens
    assert long > 0


def test_who_hears_may_fail_and_the_request_is_gone(driven):
    ids = driven.prompts.sampling_ids(QUESTIONS[0])

    def hear(piece):
        raise OSError("the client left")

    with pytest.raises(OSError, match="left"):
        driven.draw((ids, 1), heard=hear)
    assert driven.draw((ids, 1))[0].num_tokens


def test_a_stop_string_ends_a_response_which_is_scored_as_it_stands(driven, reference):
    """Wherever it begins: in a token, or with it; after one token, or at the response's end."""
    ids, prompts = driven.prompts.sampling_ids(QUESTIONS[0]), driven.prompts
    cut = 0
    for key in range(12):
        (whole,) = driven.draw((ids, key))
        for at in {0, 1, len(whole.text) // 2, len(whole.text) - 2}:
            stop = whole.text[max(0, at) :][:2]
            if not stop:
                continue
            ((one, scored),) = driven.score((ids, key), stop=(stop, "never said"))
            kept, _, _ = whole.text.partition(stop)
            assert (one.text, one.finish_reason) == (kept, "stop")
            assert one.token_ids == whole.token_ids[: len(one.token_ids)]
            assert prompts.response_text(one.token_ids).startswith(kept)
            assert one.num_tokens <= driven.spent.generated_tokens <= whole.num_tokens
            sequence = prompts.scoring_ids(ids, one.token_ids)
            yes = float(reference(sequence).softmax(-1)[prompts.yes_id])
            assert scored.p_true == pytest.approx(yes, rel=1e-3)
            assert scored.tokens == len(sequence)
            assert driven.spent.scored_tokens == scored.tokens - scored.cached_tokens
            assert driven.spent.scored_responses == 1
            cut += len(one.token_ids) < len(whole.token_ids)
    assert cut > 12
    assert driven.draw((ids, 1), stop=("never said",)) == driven.draw((ids, 1))


def test_what_draws_and_scores_cost_is_counted(driven):
    asked = [(driven.prompts.sampling_ids(QUESTIONS[i % 3]), 500 + i) for i in range(9)]
    before = driven.engine.count.tokens
    drawn = driven.score(*asked)
    spent = driven.spent
    assert spent.generated_tokens == sum(one.num_tokens for one, _ in drawn)
    assert driven.engine.count.tokens - before == spent.generated_tokens
    prompts = sum(one.prompt_tokens for one, _ in drawn)
    cached = sum(one.cached_tokens for one, _ in drawn)
    scores = sum(scored.cached_tokens for _, scored in drawn)
    assert (spent.prompt_tokens, spent.cached_tokens) == (prompts - cached, cached + scores)
    assert spent.scored_tokens == sum(one.tokens - one.cached_tokens for _, one in drawn)
    assert spent.mass == pytest.approx(sum(scored.mass for _, scored in drawn))


def test_draws_depend_on_the_key_alone(driven):
    """The same keys alone, together, and in another order among others: the same tokens."""
    ids = [driven.prompts.sampling_ids(question) for question in QUESTIONS]
    wanted = [(ids[i % 3], request_key(1, f"q{i}", 0)) for i in range(12)]
    together = driven.draw(*wanted)
    alone = [driven.draw(one)[0] for one in wanted]
    mixed = driven.draw(*((ids[i % 3], 10_000 + i) for i in range(40)), *wanted[::-1])
    expected = [one.token_ids for one in together]
    assert [one.token_ids for one in alone] == expected
    assert [one.token_ids for one in mixed[:39:-1]] == expected
    assert len({tuple(one) for one in expected}) == len(expected)


def test_a_model_in_two_parts_draws_the_same(tiny, driven, monkeypatch):
    """Tensor parallelism: a process a part, which vLLM's own binding refuses on one NUMA node."""
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "")  # is unset again when the test ends
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND")
    parts = ENGINE.model_copy(update={"tensor_parallel_size": 2})
    wanted = [(driven.prompts.sampling_ids(QUESTIONS[i % 3]), 100 + i) for i in range(24)]
    split = Driven(tiny, engine=parts)
    try:
        drawn = split.score(*wanted)
    finally:
        split.close()
    for (one, scored), (whole, expected) in zip(drawn, driven.score(*wanted), strict=True):
        assert one.token_ids == whole.token_ids
        assert scored.p_true == pytest.approx(expected.p_true, rel=1e-3)


def test_responses_are_decoded_and_counted(driven):
    ids = driven.prompts.sampling_ids(QUESTIONS[0])
    for one in driven.draw(*((ids, key) for key in range(20))):
        assert one.text == driven.prompts.tokenizer.decode(one.token_ids, skip_special_tokens=True)
        assert one.prompt_tokens == len(ids)
        ended = one.finish_reason == "stop"
        assert one.num_tokens == len(one.token_ids) + ended
        assert ended or one.num_tokens == TOKENS


@pytest.fixture
def endless(tiny, tmp_path):
    """The tiny model, seldom ending a response: its end token's logit is always 0."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny, tmp_path / "endless")
    weights = tmp_path / "endless" / "model.safetensors"
    tensors = load_file(weights)
    tensors["lm_head.weight"][json.loads((tiny / "config.json").read_text())["eos_token_id"]] = 0
    save_file(tensors, weights, metadata={"format": "pt"})
    return tmp_path / "endless"


@pytest.fixture
def stated(monkeypatch):
    """Engines that tell vLLM's own metrics: returns what reads (running, waiting, KV cache use)."""
    from vllm.v1.metrics.reader import get_metrics_snapshot

    from pipelines.engine import vllm_engine

    def arguments(*given):
        return made(*given) | {"disable_log_stats": False}

    made = vllm_engine.engine_arguments
    monkeypatch.setattr(vllm_engine, "engine_arguments", arguments)
    names = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")

    def read():
        told = {one.name: one.value for one in get_metrics_snapshot() if hasattr(one, "value")}
        return [told[f"vllm:{name}"] for name in names]

    return read


def test_cancelled_draws_and_scores_are_aborted_and_what_they_cost_is_counted(endless, stated):
    """With room for four sequences, the next request would wait for what went on."""
    config = ENGINE.model_copy(update={"max_num_seqs": 4, "max_model_len": 4096})
    driven = Driven(endless, engine=config)
    engine, ids = driven.engine, driven.prompts.sampling_ids(QUESTIONS[0])
    long, spent, scores = replace(DRAWING, max_tokens=3000), Counters(), Counters()

    async def one(key):
        (await engine.draw(ids, key, long, spent, live=True)).release()

    async def until(told):
        while not told():
            await asyncio.sleep(0.01)

    async def run():
        sampler = QuerySampler(engine, DRAWING, 0, "q", ids, "text")
        await (await engine.draw(ids, 1, DRAWING, Counters())).score()
        for _ in range(3):
            tasks = [asyncio.create_task(one(5000 + i)) for i in range(20)]
            made = spent.generated_tokens
            await until(lambda made=made: spent.generated_tokens > made + 40 and 0 not in stated())
            assert spent.generated_tokens < made + 4 * 3000  # before any of them ended
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        counted = spent.generated_tokens
        # Scores: of draws that are held, and the shared ones of a query's samples.
        held = [await engine.draw(ids, i, DRAWING, scores) for i in range(2)]
        samples = [asyncio.create_task(sampler.sample(i, scored=True)) for i in range(8)]
        await until(lambda: sampler.counters.scored_tokens)
        tasks = [asyncio.create_task(draw.score()) for draw in held]
        await asyncio.sleep(0)
        for task in (*tasks, *samples):
            task.cancel()
        await asyncio.gather(*tasks, *samples, return_exceptions=True)
        await sampler.abort()
        billed = replace(scores), replace(sampler.counters)
        started = time.monotonic()
        while time.monotonic() < started + 30:
            # vLLM tells in the steps that it makes.
            await (await engine.draw(ids, 2, DRAWING, Counters())).score()
            if stated() == [0, 0, 0]:
                break
        assert stated() == [0, 0, 0]
        assert (counted, *billed) == (spent.generated_tokens, scores, sampler.counters)
        return counted

    try:
        counted = driven.runner.run(run())
        assert counted > 3 * 40
        began, rest = divmod(spent.prompt_tokens + spent.cached_tokens, len(ids))
        assert (began >= 3 * 4, rest) == (True, 0)
        assert scores.scored_tokens == 2 * (len(driven.prompts.turn_ids) + 1)
        assert scores.scored_responses == 0
        assert engine.count.tokens >= counted
    finally:
        driven.close()


def v2(requests, prompt_lengths):
    """A processor as vLLM's V2 runner makes it; that runner needs a GPU, so its states are ours."""
    from pipelines.engine.edt_plugin import EDTLogitsProcessor

    states = SimpleNamespace(
        device=torch.device("cpu"), prompt_len=SimpleNamespace(gpu=torch.tensor(prompt_lengths))
    )
    processor = EDTLogitsProcessor(COLD, states)
    for slot, params in requests.items():
        processor.add_request(slot, params)
    processor.apply_staged_writes()
    return processor


def v2_step(slots, positions):
    """What its runner hands over in a step: each row's slot, and the position of its last token."""
    return SimpleNamespace(
        expanded_idx_mapping=torch.tensor(slots),
        idx_mapping_np=np.array(slots),
        pos=torch.tensor(positions),
    )


NUCLEUS = {"edt_t0": 0.9, "edt_theta": 0, "edt_key": 13, "edt_top_p": 0.3}


def every_kind_of_request():
    from vllm import SamplingParams

    return [
        SamplingParams(temperature=0.0, extra_args={"edt_t0": 0.8, "edt_key": 11}),
        SamplingParams(temperature=1.0, extra_args={"edt_t0": 0.5}),
        SamplingParams(temperature=0.7),
        SamplingParams(temperature=0.0, extra_args={"edt_t0": 0.8, "edt_key": 12}),
        SamplingParams(temperature=0.0, extra_args={"log_probabilities": 1}),
        SamplingParams(temperature=0.0, extra_args=NUCLEUS),
        SamplingParams(
            temperature=0.0, extra_args={"edt_t0": 0.8, "edt_key": 11, "token_facts": 1}
        ),
        SamplingParams(temperature=0.0, extra_args={"token_facts": 1}),
    ]


def test_both_interfaces_make_the_same_choice():
    from vllm.v1.sample.logits_processor.interface import BatchUpdate

    from pipelines.engine.edt_plugin import EDTLogitsProcessor

    torch.manual_seed(0)
    logits = torch.randn(8, 1000) * 3
    logits[6] = logits[0]
    params = every_kind_of_request()
    so_far = [[1, 2, 3], [4], [], [5, 6], [], [7], [1, 2, 3], []]
    first = EDTLogitsProcessor(COLD, torch.device("cpu"))
    added = [(i, params[i], [9] * 7, so_far[i]) for i in range(8)]
    first.update_state(BatchUpdate(batch_size=8, removed=[], added=added, moved=[]))
    one = first.apply(logits.clone())
    # V2: slots 5, 2, 7, 0, 3, 1, 6, 4 hold the rows; each row's position counts its prompt of 7.
    slots = [5, 2, 7, 0, 3, 1, 6, 4]
    second = v2(dict(zip(slots, params, strict=True)), [7] * 8)
    context = v2_step(slots, [7 + len(tokens) - 1 for tokens in so_far])
    two = second.apply(logits.clone(), context)
    torch.testing.assert_close(one, two)
    assert torch.equal(one[2], logits[2])  # a request without EDT is left alone
    torch.testing.assert_close(one[4], logits[4].log_softmax(-1))  # one that is scored
    torch.testing.assert_close(one[1].softmax(-1), edt_distribution(logits[1], t0=0.5).float())
    for row, key in ((0, 11), (3, 12)):
        u = uniforms(torch.tensor([key]), torch.tensor([len(so_far[row])]))
        drawn = torch.searchsorted(edt_distribution(logits[row].double()).cumsum(0), u)
        assert one[row].argmax() == drawn
    p = (logits[5].double() / 0.9).softmax(-1)
    falling, order = p.sort(descending=True)
    p[order[falling.cumsum(0) - falling >= 0.3]] = 0
    u = uniforms(torch.tensor([13]), torch.tensor([1]))
    assert one[5].argmax() == torch.searchsorted(p.cumsum(0) / p.sum(), u)
    assert one[6].argmax() == one[0].argmax()  # a draw that tells, and the likeliest that is told
    assert one[7].argmax() == logits[7].argmax()
    for row in (6, 7):
        drawn = one[row].argmax()
        facts = token_facts(logits[[row]], drawn[None])[0]
        torch.testing.assert_close(one[row, [i for i in range(4) if i != drawn][:3]], facts)
    # A slot that is taken by a request without EDT forgets the one before.
    second.add_request(5, params[2])
    second.apply_staged_writes()
    assert torch.equal(second.apply(logits.clone(), context)[0], logits[0])


def test_requests_that_move_in_the_batch_keep_what_they_asked_for():
    """V1: rows are removed, moved and swapped between steps."""
    from vllm.v1.sample.logits_processor.interface import BatchUpdate, MoveDirectionality

    from pipelines.engine.edt_plugin import EDTLogitsProcessor

    logits = torch.randn(4, 500, generator=torch.Generator().manual_seed(1)) * 3
    drawn, scaled, plain, other = every_kind_of_request()[:4]
    processor = EDTLogitsProcessor(COLD, torch.device("cpu"))
    added = [(i, one, None, []) for i, one in enumerate((plain, drawn, scaled, other))]
    processor.update_state(BatchUpdate(batch_size=4, removed=[], added=added, moved=[]))
    before = processor.apply(logits.clone())
    one_way, swap = MoveDirectionality.UNIDIRECTIONAL, MoveDirectionality.SWAP
    processor.update_state(
        BatchUpdate(batch_size=3, removed=[0], added=[], moved=[(3, 0, one_way), (1, 2, swap)])
    )
    after = processor.apply(logits[[3, 2, 1]].clone())
    assert torch.equal(after, before[[3, 2, 1]])


class NoWaiting(TorchFunctionMode):
    """Refuses what makes the host wait for a device's tensor, which a CPU's would not show."""

    WAITS = (
        "item", "tolist", "cpu", "numpy", "nonzero", "unique", "masked_select", "equal",
        "allclose", "__bool__", "__int__", "__float__", "__index__",
    )  # fmt: skip

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        assert name not in self.WAITS, f"{name} waits for the device"
        for index in args[1:2] if name in ("__getitem__", "__setitem__") else ():
            for one in index if isinstance(index, tuple) else (index,):
                waits = isinstance(one, list) or getattr(one, "dtype", None) == torch.bool
                assert not waits, f"{name} by a list or a mask waits for the device"
        return func(*args, **(kwargs or {}))


def test_a_step_of_the_v2_runner_reads_nothing_back_from_the_device():
    with pytest.raises(AssertionError, match="tolist waits"), NoWaiting():
        torch.arange(3).tolist()
    slots = [5, 2, 7, 0, 3, 1, 6, 4]
    params = every_kind_of_request()
    processor = v2({}, [7] * 8)
    step = v2_step(slots, [9] * 8)
    logits = torch.randn(8, 1000)
    with NoWaiting():
        for slot, one in zip(slots, params, strict=True):
            processor.add_request(slot, one)
        processor.apply_staged_writes()
        processor.apply(logits, step)


def test_the_plugin_leaves_a_servers_environment_as_it_is():
    code = "import os, pipelines.engine.edt_plugin; print({k for k in os.environ if 'VLLM' in k})"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("VLLM")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert "LOGGING_LEVEL" not in done.stdout, done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("temperature", "extra", "says"),
    [
        (1.0, {"edt_t0": "warm"}, "expected numbers"),
        (1.0, {"edt_t0": -1}, "edt_t0 must be in"),
        (1.0, {"edt_t0": 0.8, "edt_base": 2}, "edt_base in"),
        (1.0, {"edt_t0": "inf"}, "edt_t0 must be in"),
        (1.0, {"edt_t0": 0.8, "edt_theta": "nan"}, "edt_theta in"),
        (0.5, {"edt_t0": 0.8}, "leave the request's own at 1.0"),
        (1.0, {"edt_t0": 0.8, "edt_key": 3}, "set the request's temperature to 0"),
        (0.0, {"edt_t0": 0.8, "edt_key": -3}, "edt_key must be"),
        (0.0, NUCLEUS | {"edt_top_p": 0}, "edt_top_p must be in"),
        (0.0, NUCLEUS | {"edt_top_p": "nan"}, "edt_top_p must be in"),
        (0.0, NUCLEUS | {"edt_theta": 1}, "set edt_theta to 0"),
        (1.0, {"edt_t0": 0.8, "edt_theta": 0, "edt_top_p": 0.9}, "the request's own top_p"),
        (1.0, {"edt_t0": 0.8, "token_facts": 1}, "token_facts: set the request's temperature to 0"),
    ],
)
def test_bad_arguments_are_refused(temperature, extra, says):
    from vllm import SamplingParams

    from pipelines.engine.edt_plugin import EDTLogitsProcessor

    with pytest.raises(ValueError, match=says):
        EDTLogitsProcessor.validate_params(
            SamplingParams(temperature=temperature, extra_args=extra)
        )


PENALTIES = [{"frequency_penalty": 0.5}, {"presence_penalty": -1}, {"repetition_penalty": 1.1}]


@pytest.mark.parametrize(
    ("key", "given"),
    [
        *((key, one) for key in ({}, {"edt_key": 3}) for one in PENALTIES),
        *(({"edt_t0": None, "token_facts": 1}, one) for one in PENALTIES),
        ({"edt_key": 3}, {"seed": 5}),
        ({"edt_key": 3}, {"thinking_token_budget": 9}),
    ],
)
def test_what_would_do_nothing_is_refused(key, given):
    from vllm import SamplingParams

    from pipelines.engine.edt_plugin import EDTLogitsProcessor

    extra = {name: one for name, one in {"edt_t0": 0.8, **key}.items() if one is not None}
    params = SamplingParams(temperature=0.0 if key else 1.0, extra_args=extra, **given)
    with pytest.raises(ValueError, match=rf"^{next(iter(given))}: .*leave it out"):
        EDTLogitsProcessor.validate_params(params)


@pytest.mark.parametrize("published", [{"repetition_penalty": 1.05}, {"temperature": 0.7}])
def test_what_a_models_files_add_to_a_request_is_told_as_that(published):
    """vLLM's server fills in what a request leaves out from generation_config.json."""
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    from pipelines.engine.edt_plugin import EDTLogitsProcessor

    asked = CompletionRequest(model="m", prompt="One", vllm_xargs={"edt_t0": 0.8})
    EDTLogitsProcessor.validate_params(asked.to_sampling_params(8, {}))
    with pytest.raises(ValueError, match="start vllm serve with --generation-config vllm") as told:
        EDTLogitsProcessor.validate_params(asked.to_sampling_params(8, published))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("temperature", [0.8, 0.0])
def test_what_a_models_files_say_of_sampling_does_not_reach_our_engines(temperature):
    from pipelines.engine.edt_plugin import EDTLogitsProcessor
    from pipelines.engine.vllm_draw import respond_params

    drawing = replace(DRAWING, temperature=temperature)
    params = respond_params(drawing, 3, [2])
    # All that the engine itself takes from there.
    params.update_from_generation_config(
        {"repetition_penalty": 1.05, "temperature": 0.7, "top_k": 20}
    )
    EDTLogitsProcessor.validate_params(params)
    assert params == respond_params(drawing, 3, [2])


def test_without_the_entry_point_the_class_is_passed_by_name(tiny, driven, monkeypatch):
    """As under `ray job submit --working-dir`, where the project is not installed."""
    ids = driven.prompts.sampling_ids(QUESTIONS[0])
    wanted = [(ids, key) for key in range(8)]
    expected = [one.token_ids for one in driven.draw(*wanted)]
    found = importlib.metadata.entry_points

    def hidden(**query):
        return () if query.get("group") == "vllm.logits_processors" else found(**query)

    monkeypatch.setattr("importlib.metadata.entry_points", hidden)
    monkeypatch.setattr("pipelines.engine.arguments.entry_points", hidden)
    bare = Driven(tiny)
    try:
        assert [one.token_ids for one in bare.draw(*wanted)] == expected
    finally:
        bare.close()


NO_COMPILER = """
import asyncio, sys
from pipelines.config import ConfidenceConfig, EngineConfig, SamplingConfig
from pipelines.engine.protocol import Counters, Drawing
from pipelines.engine.vllm_engine import VLLMEngine


async def main():
    config = EngineConfig(dtype="float32", block_size=32, kv_cache_gib=0.3, max_model_len=512,
                          enforce_eager=sys.argv[2] == "eager")
    engine = VLLMEngine(sys.argv[1], config, ConfidenceConfig())
    ids, drawing = engine.prompts.sampling_ids("What is 2 + 2?"), Drawing.of(SamplingConfig())
    draw = await engine.draw(ids, 1, drawing, Counters())
    print("P(True) is", (await draw.score()).p_true)
    engine.shutdown()

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize("mode", ["eager", "compiled"])
def test_an_engine_starts_where_no_compiler_works(tiny, tmp_path, mode):
    """One that fails stands for none; to compile the model without one is refused in a line."""
    (tmp_path / "start.py").write_text(NO_COMPILER)
    done = subprocess.run(
        [sys.executable, tmp_path / "start.py", tiny, mode],
        env=os.environ | {"CXX": "/bin/false", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    if mode == "eager":
        assert "P(True) is" in done.stdout, done.stderr[-2000:]
    else:
        assert "ValueError: engine.enforce_eager: set it to true, or install" in done.stderr


def test_a_plain_vllm_server_takes_edt_by_request_arguments(tiny, tmp_path):
    port = free_port()
    read = load_tokenizer(tiny).decode
    environment = os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "TORCHDYNAMO_DISABLE": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
    }
    environment.pop("VLLM_ENABLE_V1_MULTIPROCESSING", None)
    # What `vllm serve` runs; that command itself looks for a package named vllm, not vllm-cpu.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(tiny)]
    command += ["--dtype", "float32", "--enforce-eager", "--max-model-len", "512"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "tiny"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server, tmp_path / "log")

        def ask(**more):
            body = {"model": "tiny", "prompt": "One", "max_tokens": 8, "n": 1} | more
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/completions",
                json.dumps(body).encode(),
                {"content-type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=120) as response:
                return json.load(response)["choices"][0]["text"]

        def keyed(key, **more):
            return ask(temperature=0, vllm_xargs={"edt_t0": 0.8, "edt_key": key}, **more)

        def refused(**request):
            with pytest.raises(urllib.error.HTTPError) as caught:
                ask(**request)
            assert caught.value.code == 400
            return json.load(caught.value)["error"]["message"]

        assert keyed(1) == keyed(1)
        assert len({keyed(key) for key in range(6)}) > 1
        # So cold that it is greedy, though the request says 1.0: the processor divides.
        cold = {ask(temperature=1.0, vllm_xargs={"edt_t0": 0.001}) for _ in range(4)}
        assert cold == {ask(temperature=0)}
        assert "leave the request's own at 1.0" in refused(
            temperature=0.3, vllm_xargs={"edt_t0": 0.8}
        )
        # So small a nucleus has the likeliest token alone, by a key and by vLLM's own top_p.
        alone = {"edt_t0": 1, "edt_theta": 0, "edt_key": 5, "edt_top_p": 1e-6}
        assert {ask(temperature=0, vllm_xargs=alone), ask(temperature=1.0, top_p=1e-6)} == cold
        # What vLLM applies before EDT holds for what a key draws; what it applies after is refused.
        one, other = 504, 1904
        only = keyed(3, allowed_token_ids=[one])
        assert only not in (keyed(3), keyed(3, allowed_token_ids=[other]))
        assert keyed(3, logit_bias={one: 100}) == only
        two = {"allowed_token_ids": [one, other]}
        assert keyed(3, **two, bad_words=[read([other])]) == only
        assert keyed(3, **two, stop_token_ids=[other], min_tokens=8) == only
        assert keyed(3, structured_outputs={"choice": ["warm", "cold"]}) in ("warm", "cold")
        drawn = {"temperature": 0, "vllm_xargs": {"edt_t0": 0.8, "edt_key": 3}}
        assert refused(**drawn, frequency_penalty=0.5).startswith("frequency_penalty: vLLM appl")
        assert refused(**drawn, seed=1).startswith("seed: it does nothing where edt_key draws")
    finally:
        kill_with_children(server)


@retry(retry=retry_if_exception_type(OSError), wait=wait_fixed(0.5), stop=stop_after_delay(300))
def wait_for(url, server, log):
    assert server.poll() is None, log.read_text()[-3000:]
    urllib.request.urlopen(url, timeout=5)
