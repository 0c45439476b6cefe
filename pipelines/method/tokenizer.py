"""A model's tokenizer and end tokens, read from its directory: the same for all that need them.

tokenizer.json says all of a tokenizer, and is read as it stands. The class that
tokenizer_config.json names is not asked: transformers makes a SentencePiece tokenizer, without
spaces and newlines, of a byte-level one whose class is called LlamaTokenizerFast, as that of
DeepSeek-R1-Distill-Llama is.
"""

import json
import logging
from pathlib import Path
from typing import Any

TOKENIZER, SETTINGS = "tokenizer.json", "tokenizer_config.json"
_TEKKEN = 131_072  # tokens of Mistral's vocabularies since Nemo

# Spaces, newlines, a tab, other scripts, a sign of four bytes: none may be lost on the way.
PROBE = "What is  2 + 2 ?\n\nIt's:\n\tdone , Ответ \u7b54\u3048 \U0001f642 x"


def load_tokenizer(model_dir: str | Path) -> Any:
    """A transformers tokenizer of tokenizer.json.

    ValueError where there is none, where it cannot be read, or where a text does not come back from
    its ids.
    """
    from transformers import PreTrainedTokenizerFast

    directory = Path(model_dir)
    if not (directory / TOKENIZER).is_file():
        raise ValueError(f"model.source: {no_tokenizer(directory, str(directory))}")
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(
            str(directory),
            fix_mistral_regex=False,  # or it warns of any large vocabulary; see below
        )
    except Exception as error:  # files that a model brings: transformers raises as it comes
        says = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"model.source: the tokenizer in {directory} cannot be read ({says})"
        ) from error
    tokenizer.clean_up_tokenization_spaces = False  # it takes spaces away before punctuation
    back = tokenizer.decode(tokenizer.encode(PROBE, add_special_tokens=False))
    check_text(back, str(directory))
    if _splits_as_llama(tokenizer, directory):
        logging.getLogger(__name__).warning(
            "model.source: tokenizer.json in %s splits texts as Llama 3's does, and Mistral's do "
            "not: early conversions of them were saved so; take the publisher's newer file",
            directory,
        )
    return tokenizer


def _splits_as_llama(tokenizer: Any, directory: Path) -> bool:
    """Whether it is Mistral's Tekken vocabulary with the split of transformers' converter for
    tiktoken, which takes digits by threes, for its own, which takes them one by one."""
    family = read_settings(directory, "config.json", str(directory)).get("model_type")
    mistrals = {"mistral", "mistral3", "ministral", "voxtral", "pixtral"}  # as transformers has it
    split = tokenizer.backend_tokenizer.pre_tokenizer
    if family not in mistrals or len(tokenizer) < _TEKKEN or split is None:
        return False
    return len(split.pre_tokenize_str("123")) == 1


def check_text(back: str, source: str) -> None:
    """ValueError where PROBE came back otherwise from its ids, than it was."""
    if back.strip() != PROBE:
        raise ValueError(
            f"model.source: the tokenizer in {source} loses text: {PROBE!r} comes back as {back!r}"
        )


def no_tokenizer(directory: Path, source: str) -> str:
    """What to say of a source whose directory has no tokenizer.json."""
    if (directory / "tekken.json").is_file():
        return (
            f"{source} has its tokenizer in Mistral's own format, tekken.json, and no "
            "tokenizer.json with a chat template; give a conversion that has one"
        )
    return f"{source} has no tokenizer.json"


def end_ids(model_dir: str | Path, tokenizer: Any) -> frozenset[int]:
    """The ids that end a response by the model's files (`named_ends`); maybe none.

    Those that are no added tokens of the tokenizer are left out: they are text, and stand there
    because a default was written that nobody set (2, of Llama's config class).
    """
    directory = Path(model_dir)
    return named_ends(directory, str(directory)) & set(tokenizer.added_tokens_decoder)


def named_ends(directory: Path, source: str) -> frozenset[int]:
    """What generation_config.json names as ends or, where it names none, config.json.

    ValueError names the file where it is not as it should be.
    """
    for name in ("generation_config.json", "config.json"):
        settings = read_settings(directory, name, source)
        found: set[int] = set()
        for part in (settings, settings.get("text_config") or {}):  # of a model that sees, too
            ids = part.get("eos_token_id") if isinstance(part, dict) else part
            ids = ids if isinstance(ids, list) else [] if ids is None else [ids]
            if not all(type(one) is int and one >= 0 for one in ids):
                raise ValueError(
                    f"model.source: {source}/{name}: eos_token_id is neither a token's id nor a "
                    "list of such"
                )
            found.update(ids)
        if found:
            return frozenset(found)
    return frozenset()


def read_settings(directory: Path, name: str, source: str) -> dict[str, Any]:
    """A JSON object that may lie in a model's directory; empty where it does not.

    ValueError names the file where it holds something else.
    """
    file = directory / name
    try:
        settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"model.source: {source}/{name} cannot be read ({error})") from None
    if not isinstance(settings, dict):
        raise ValueError(f"model.source: {source}/{name} cannot be read (it holds no JSON object)")
    return settings
