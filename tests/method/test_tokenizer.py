"""The tokenizer of a directory is that of its tokenizer.json, whatever stands beside it."""

import json

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizing import byte_level, sentencepiece, template, write

from pipelines.method.prompts import Prompts
from pipelines.method.tokenizer import PROBE, end_ids, load_tokenizer
from pipelines.storage.models import check, tokenizer_here


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


LLAMA = r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+"
MISTRAL = LLAMA.replace("{1,3}", "")


@pytest.mark.parametrize(
    ("family", "pattern", "told"),
    [("mistral3", LLAMA, 1), ("mistral3", MISTRAL, 0), ("llama", LLAMA, 0)],
)
def test_a_split_that_is_not_mistrals_is_told(tmp_path, monkeypatch, caplog, family, pattern, told):
    """In one line, and only where it is so: transformers warns of each large vocabulary."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words = [*sorted(alphabet), *(f"w{i}" for i in range(131_072 - len(alphabet)))]
    made = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, []))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    where = write(tmp_path, made.to_str(), None)
    (where / "config.json").write_text(json.dumps({"model_type": family}))
    warned = []
    logger = "transformers.tokenization_utils_tokenizers.logger.warning"
    monkeypatch.setattr(logger, lambda *told: warned.append(told))
    load_tokenizer(where)
    lines = [one for one in caplog.messages if "splits texts as Llama 3's does" in one]
    assert (len(lines), warned) == (told, [])
    assert not any("\n" in one for one in lines)


@pytest.mark.parametrize("name", ["bos_token", "eos_token"])
def test_a_token_of_the_template_that_is_named_nowhere(tmp_path, name):
    """transformers would leave it out: the default of a class that is not asked."""
    marks = ("<s>", "</s>")
    text = "{{ bos_token }}" + template("mentions").replace("'<|im_end|>\\n'", "eos_token")
    named = {"bos_token": "<s>", "eos_token": "</s>"}
    model = write(tmp_path, byte_level(special=(*SPECIAL, *marks)), text, **named)
    assert Prompts.load(model).sampling_text("?").startswith("<s>")
    del named[name]
    (model / "tokenizer_config.json").write_text(json.dumps(named))
    said = rf"^model.source: the chat template in .* has {name} in it, which tokenizer_config.json"
    with pytest.raises(ValueError, match=said):
        Prompts.load(model)
    if name == "bos_token":
        (model / "tokenizer_config.json").write_text(json.dumps({**named, name: None}))
        assert Prompts.load(model).sampling_text("?").startswith("<|im_start|>user")


ENDS = ("<a>", "<b>", "<c>")
SPECIAL = (*ENDS, "<|im_start|>", "<|im_end|>")


@pytest.fixture
def model(tmp_path):
    where = write(tmp_path, byte_level(special=SPECIAL), template("mentions"), eos_token="<c>")
    (where / "model.safetensors").touch()
    return where


def configs(where, config, generation):
    (where / "config.json").write_text(config)
    if generation is not None:
        (where / "generation_config.json").write_text(generation)


@pytest.mark.parametrize(
    ("config", "generation", "ends"),
    [
        ("{}", None, []),
        ('{"eos_token_id": A, "text_config": {"eos_token_id": [B]}}', None, ["<a>", "<b>"]),
        # config.json is the fallback of generation_config.json.
        ('{"eos_token_id": A}', '{"eos_token_id": [B, C]}', ["<b>", "<c>"]),
        ('{"eos_token_id": A}', '{"eos_token_id": null}', ["<a>"]),
        ('{"eos_token_id": A}', "{}", ["<a>"]),
        # What is no special token is text; 2 is the default of Llama's config class.
        ('{"eos_token_id": 2}', None, []),
        ('{"eos_token_id": [A, 2, 99999]}', None, ["<a>"]),
    ],
)
def test_the_end_ids_of_a_models_files(model, config, generation, ends):
    tokenizer = load_tokenizer(model)
    ids = dict(zip("ABC", tokenizer.convert_tokens_to_ids(ENDS), strict=True))
    for name, token in ids.items():
        config = config.replace(name, str(token))
        generation = generation and generation.replace(name, str(token))
    configs(model, config, generation)
    assert end_ids(model, tokenizer) == set(tokenizer.convert_tokens_to_ids(ends))
    check(str(model))


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "null", '"x"', "3", "[" * 100_000, "\ud800", '{"eos_token_id": true}']
    + [f'{{"eos_token_id": {ids}}}' for ids in ('"</s>"', "-1", "1.5", "[[1]]", "{}", "[null]")],
)
@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_files_whose_end_ids_cannot_be_read(model, name, text):
    tokenizer = load_tokenizer(model)
    (model / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    for read in (lambda: end_ids(model, tokenizer), lambda: check(str(model))):
        with pytest.raises(ValueError, match=rf"^model.source: .*/{name}") as told:
            read()
        assert "\n" not in str(told.value)


def test_a_response_loses_one_end_token(model):
    """So the turn goes on where the engine's session ends, which has all but the last token."""
    tokenizer = load_tokenizer(model)
    prompts = Prompts.from_tokenizer(tokenizer, ends=tokenizer.convert_tokens_to_ids(ENDS))
    a, b, c = tokenizer.convert_tokens_to_ids(ENDS)
    for sampled in ([5, a], [5, a, b], [a, b, c], [c, c], [5, 6], [5, *prompts.turn_ids[:2]]):
        scored = prompts.scoring_ids([], prompts.response_ids(sampled))
        assert scored[: len(sampled) - 1] == sampled[:-1]


def test_how_a_trainer_cut_and_filled_its_texts_is_not_followed(model):
    """Published fine-tunes have it in their tokenizer.json."""
    made = Tokenizer.from_file(str(model / "tokenizer.json"))
    made.enable_truncation(8)
    made.enable_padding(length=512)
    made.save(str(model / "tokenizer.json"))
    check(str(model))
    expected = Tokenizer.from_str(byte_level(special=SPECIAL)).encode(PROBE).ids
    assert tokenizer_here(str(model)).encode(PROBE).ids == expected
    assert load_tokenizer(model).encode(PROBE, add_special_tokens=False) == expected


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
