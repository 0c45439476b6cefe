"""LoRA adapters: attach to a base model, merge into one. The only import of peft."""

from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM

from pipelines.config import Config
from pipelines.storage.models import copy_tokenizer, quiet_transformers


def load_base(model_dir: Path, config: Config) -> nn.Module:
    quiet_transformers()
    return AutoModelForCausalLM.from_pretrained(
        str(model_dir),
        dtype=getattr(torch, config.train.dtype),
        use_safetensors=True,
        trust_remote_code=config.engine.trust_remote_code,
    )


def attach(model_dir: Path, config: Config) -> nn.Module:
    """The base model with a fresh adapter on train.lora.targets."""
    lora = config.train.lora
    return get_peft_model(
        load_base(model_dir, config),
        LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=list(lora.targets),
            task_type="CAUSAL_LM",
        ),
    )


def load_tuned(model_dir: Path, adapter_dir: Path, config: Config) -> PeftModel:
    """The base model in train.dtype with an adapter on it in float32, as its file has it."""
    return PeftModel.from_pretrained(load_base(model_dir, config), str(adapter_dir))


def merge(model_dir: Path, adapter_dir: Path, config: Config, out: Path) -> None:
    """Writes base + adapter as one model in train.dtype: safetensors, config and tokenizer."""
    load_tuned(model_dir, adapter_dir, config).merge_and_unload().save_pretrained(str(out))
    copy_tokenizer(model_dir, out)
