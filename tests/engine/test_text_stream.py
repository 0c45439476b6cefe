"""Text in pieces: together what all tokens make, and ended before a stop string."""

from dataclasses import replace

import numpy as np
import pytest
from tokenizing import byte_level, sentencepiece, with_template

from pipelines.engine.text_stream import TextStream
from pipelines.method.prompts import Prompts

TEXTS = (
    "The answer is 42.\n\nIt's:\n\tdone , Ответ \u7b54\u3048 \U0001f642 x",
    "  two  spaces\n", "", " ", "\n", "\U0001f642", "Yes\n\nNo",
)  # fmt: skip
SPECIAL = ["<|user|>", "<|assistant|>", "<think>", "</think>", "<tool>"]


@pytest.fixture(scope="module", params=[byte_level, sentencepiece])
def prompts(request, tmp_path_factory):
    made, where = request.param, tmp_path_factory.mktemp("model")
    return Prompts.from_tokenizer(with_template(where, "zephyr", SPECIAL, made=made))


def encode(prompts, text):
    return prompts.tokenizer.encode(text, add_special_tokens=False)


def streamed(prompts, sampled, stop=()):
    """Pieces, the text, and (ids, tokens sampled) where a stop string ended it, or None."""
    pieces = []
    stream = TextStream(prompts, stop, pieces.append)
    for count, token in enumerate(sampled, start=1):
        if stream.add(token):
            return pieces, stream.text, (stream.kept(sampled[:count]), count)
    if stream.close(prompts.response_ids(sampled)):
        return pieces, stream.text, (stream.kept(sampled), len(sampled))
    return pieces, stream.text, None


@pytest.mark.parametrize("text", TEXTS)
def test_the_pieces_are_the_text(prompts, text):
    ids = encode(prompts, text)
    for sampled in (ids, [*ids, prompts.end_id]):
        pieces, whole, stopped = streamed(prompts, sampled)
        assert "".join(pieces) == whole == prompts.response_text(ids)
        assert stopped is None


def test_text_comes_with_its_tokens(prompts):
    """But for a character, a byte or a word that the next token may belong to."""
    said = "Yes No Yes No"
    ids = encode(prompts, said)
    pieces = []
    stream = TextStream(prompts, heard=pieces.append)
    for count, token in enumerate(ids, start=1):
        stream.add(token)
        assert "".join(pieces) == prompts.response_text(ids[:count])


def test_the_pieces_of_any_tokens_are_their_text(prompts):
    """Also where they are no text in UTF-8, where tokens are special, or none of the tokenizer."""
    rng = np.random.default_rng(0)
    ends, turn = sorted(prompts.end_ids), prompts.turn_ids
    for _ in range(400):
        ids = rng.integers(0, len(prompts.tokenizer) + 3, rng.integers(0, 25)).tolist()
        ids = [i for i in ids if i not in ends]
        for _ in range(rng.integers(0, 3)):  # what the turn begins with, amid it and at its end
            at = rng.integers(0, len(ids) + 1)
            ids[at:at] = turn[: rng.integers(0, len(turn))]
            ids = [i for i in ids if i not in ends]
        pieces, whole, _ = streamed(prompts, ids)
        assert "".join(pieces) == whole == prompts.response_text(prompts.response_ids(ids))
        stop = whole[len(whole) // 2 :][:2]
        if stop:
            pieces, cut, stopped = streamed(prompts, ids, (stop,))
            assert stopped
            assert "".join(pieces) == cut == whole.partition(stop)[0]


def test_what_the_turn_begins_with_is_no_text(tmp_path):
    """Llama 2's begins with a space: it is told once a word follows."""
    prompts = Prompts.from_tokenizer(with_template(tmp_path, "spaced", made=sentencepiece))
    tokenizer = prompts.tokenizer
    (space,) = prompts.turn_ids[:1]
    word = tokenizer.convert_tokens_to_ids("Yes")
    assert space not in prompts.end_ids
    pieces = []
    stream = TextStream(prompts, heard=pieces.append)
    stream.add(word)
    stream.add(space)
    before = "".join(pieces)
    stream.add(word)
    assert (before, "".join(pieces)) == (
        tokenizer.decode([word]), tokenizer.decode([word, space, word]),
    )  # fmt: skip
    pieces, whole, _ = streamed(prompts, [word, space])
    assert "".join(pieces) == whole == tokenizer.decode([word])


@pytest.mark.parametrize(
    ("text", "stop", "kept"),
    [
        ("It is 42. Is it?", (". ",), "It is 42"),
        ("It is 42.\n\nIs it?", ("\n\n",), "It is 42."),
        ("It is 42.\n\n", ("\n\n",), "It is 42."),  # it ends the response, too
        ("It is 42.\n", ("\n\n",), None),  # a beginning of it is text
        ("It is 42.", ("42." + "\n" * 200, "xy"), None),
        ("aab", ("ab",), "a"),
        ("abab", ("aba", "b"), "a"),  # the one that is complete first
        ("xabc", ("bc", "abc"), "x"),  # of two that end together, the one that begins first
        ("\u7b54\u3048", ("\u3048",), "\u7b54"),
        ("42", ("4",), ""),
        ("42", ("2", "4"), ""),
        ("42", ("3",), None),
    ],
)
def test_a_response_ends_before_the_first_stop_string(prompts, text, stop, kept):
    pieces, whole, stopped = streamed(prompts, encode(prompts, text), stop)
    if kept is None:
        assert stopped is None
        assert "".join(pieces) == whole == prompts.response_text(encode(prompts, text))
    else:
        ids, _ = stopped
        assert "".join(pieces) == whole == kept
        assert prompts.response_text(ids).startswith(kept)
        assert not prompts.response_text(ids[:-1]).startswith(kept) or not ids


def test_of_a_token_that_the_stop_string_begins_in_the_beginning_is_kept(tmp_path):
    prompts = Prompts.from_tokenizer(with_template(tmp_path, "zephyr", SPECIAL))
    said = encode(prompts, "4 answer")
    whole = [prompts.response_text([one]) for one in said]
    assert " answer" in whole
    ids = said[: whole.index(" answer") + 1]
    _, text, stopped = streamed(prompts, said, ("swer",))
    assert text == "4 an"
    assert stopped == (ids, len(ids))
    _, text, stopped = streamed(prompts, said, (" an",))
    assert text == "4"
    assert stopped == (ids[:-1], len(ids))


def test_a_stop_string_is_looked_for_in_what_is_generated(prompts):
    """Not in the special tokens that no one sees, nor in the mark that the prompt opened."""
    hidden = prompts.tokenizer.convert_tokens_to_ids("<tool>")
    *before, four, two = encode(prompts, "42")
    ids = [*before, four, hidden, two]
    assert streamed(prompts, ids, ("<tool>",))[1:] == ("42", None)
    assert streamed(prompts, ids, ("42",)) == ([], "", ([], len(ids)))
    thinking = replace(prompts, thought="<think>\n")
    assert streamed(thinking, ids, ("think",))[1:] == ("<think>\n42", None)
