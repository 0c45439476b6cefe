"""The tokenizer of a directory is that of its tokenizer.json, whatever stands beside it."""

import json

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from tokenizing import byte_level, sentencepiece, template, write

from pipelines.method.prompts import Prompts
from pipelines.method.tokenizer import PROBE, end_ids, load_tokenizer


@pytest.mark.parametrize("named", ["LlamaTokenizerFast", "LlamaTokenizer", "Qwen2Tokenizer", None])
def test_a_class_that_does_not_fit_is_not_asked(tmp_path, named):
    """That of DeepSeek-R1-Distill-Llama, by which transformers drops all spaces and newlines."""
    settings = {"tokenizer_class": named} if named else {}
    tokenizer = load_tokenizer(write(tmp_path, byte_level(), None, **settings))
    expected = Tokenizer.from_str(byte_level()).encode(PROBE, add_special_tokens=False).ids
    assert tokenizer.encode(PROBE, add_special_tokens=False) == expected
    assert tokenizer.decode(expected) == PROBE


def test_text_comes_back_as_it_was(tmp_path):
    """A setting that takes spaces away before punctuation is not followed."""
    for number, made in enumerate((byte_level(), sentencepiece())):
        where = write(tmp_path / str(number), made, None, clean_up_tokenization_spaces=True)
        tokenizer = load_tokenizer(where)
        for text in ("a , b !\n\n c", "x  y", "Ответ 答え 🙂"):
            assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_a_tokenizer_that_loses_text_is_refused(tmp_path):
    made = Tokenizer(models.BPE(unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.train_from_iterator([PROBE], trainers.BpeTrainer(show_progress=False))
    with pytest.raises(ValueError, match=r"the tokenizer in .* loses text: .What is  2"):
        load_tokenizer(write(tmp_path, made.to_str(), None))


def test_no_tokenizer_json(tmp_path):
    with pytest.raises(ValueError, match=r"has no tokenizer\.json$"):
        load_tokenizer(tmp_path)
    (tmp_path / "tekken.json").write_text("{}")
    with pytest.raises(ValueError, match=r"Mistral's own format, tekken.json, and no tokenizer"):
        load_tokenizer(tmp_path)


def test_files_that_transformers_cannot_read(tmp_path):
    write(tmp_path, byte_level(), None, eos_token=["not", "one"])
    with pytest.raises(ValueError, match=r"^model.source: the tokenizer in .* cannot be read \("):
        load_tokenizer(tmp_path)


def test_the_end_ids_of_all_files(tmp_path):
    assert end_ids(tmp_path) == set()
    (tmp_path / "config.json").write_text('{"eos_token_id": 7, "text_config": {"eos_token_id": 8}}')
    assert end_ids(tmp_path) == {7, 8}
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [7, 9]}')
    assert end_ids(tmp_path) == {7, 8, 9}


def test_a_response_is_left_without_any_of_the_end_tokens(tmp_path):
    """As Qwen's, whose generation config names <|endoftext|> beside the end of a turn."""
    special = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "</s>")
    made = byte_level(special=special)
    where = write(tmp_path, made, template("mentions"), eos_token="</s>")
    _, turn, text, eos = map(Tokenizer.from_str(made).token_to_id, special)
    (where / "generation_config.json").write_text(json.dumps({"eos_token_id": [turn, text]}))
    prompts = Prompts.load(where)
    assert prompts.end_ids == {turn, text, eos}
    for end in (turn, text, eos):
        assert prompts.response_ids([5, 6, end]) == [5, 6]
