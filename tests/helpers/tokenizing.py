"""Small tokenizers of the two kinds that models have, made on the spot: no model, no network."""

import json
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEMPLATES = Path(__file__).parents[1] / "data" / "templates"
WORDS = ("Yes\nNo\n Yes No", "the answer is correct", "user assistant system")


@cache
def byte_level(words: tuple[str, ...] = WORDS, special: tuple[str, ...] = ()) -> str:
    """As GPT-2's, Llama 3's and Qwen's: single tokens for Yes and No, with and without a space."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(words * 2, trainer)
    made.add_special_tokens(list(special))
    return made.to_str()


@cache
def sentencepiece() -> str:
    """As Llama 2's and Mistral's: a space before what is first, which is a part of words."""
    merges = [("e", "s"), ("Y", "es"), ("▁", "Yes"), ("N", "o"), ("▁", "No")]
    tokens = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁YesNo"]
    tokens = list(dict.fromkeys([*tokens, *map("".join, merges)]))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    made = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )  # fmt: skip
    return made.to_str()


def write(directory: Path, tokenizer_json: str, template: str | None, **settings) -> Path:
    """A model's directory without weights. settings: of tokenizer_config.json."""
    directory.mkdir(exist_ok=True)
    (directory / "tokenizer.json").write_text(tokenizer_json)
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    (directory / "config.json").write_text(json.dumps({"model_type": "llama"}))
    if template is not None:
        (directory / "chat_template.jinja").write_text(template)
    return directory


def template(name: str) -> str:
    return (TEMPLATES / f"{name}.jinja").read_text().strip()


def with_template(directory: Path, name: str, special=(), eos="</s>", made=byte_level):
    """A tokenizer with a template of tests/data/templates, and the special tokens it uses."""
    from pipelines.method.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(write(directory, made(), template(name)))
    tokenizer.add_special_tokens(
        {"bos_token": "<s>", "eos_token": eos, "additional_special_tokens": list(special)}
    )
    tokenizer.name_or_path = name
    return tokenizer
