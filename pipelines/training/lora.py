"""LoRA adapters: attach to a base model, merge into one. The only import of peft."""

from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import AutoModelForCausalLM

from pipelines.config import Config
from pipelines.storage.builtin import quiet_transformers
from pipelines.storage.models import copy_tokenizer
from pipelines.training.dropout import replace_dropout


def load_base(model_dir: Path, config: Config) -> nn.Module:
    quiet_transformers()
    return AutoModelForCausalLM.from_pretrained(
        str(model_dir),
        dtype=getattr(torch, config.train.dtype),
        use_safetensors=True,
        trust_remote_code=config.engine.trust_remote_code,
    )


def attach(model_dir: Path, config: Config) -> nn.Module:
    """The base model with a fresh adapter on train.lora.targets, float32 under any train.dtype.

    So its gradients are, too, and sums of many micro-batches do not stand still in bfloat16.
    """
    lora = config.train.lora
    model = get_peft_model(
        load_base(model_dir, config),
        LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=list(lora.targets),
            task_type="CAUSAL_LM",
        ),
    )
    if lora.dropout:
        replace_dropout((m for m in model.modules() if isinstance(m, LoraLayer)), lora.dropout)
    return model


def load_tuned(model_dir: Path, adapter_dir: Path, config: Config) -> PeftModel:
    """The base model in train.dtype with an adapter on it in float32, as its file has it."""
    return PeftModel.from_pretrained(load_base(model_dir, config), str(adapter_dir))


def merge(model_dir: Path, adapter_dir: Path, config: Config, out: Path) -> None:
    """Writes base + adapter as one model in train.dtype: safetensors, config and tokenizer."""
    load_tuned(model_dir, adapter_dir, config).merge_and_unload().save_pretrained(str(out))
    copy_tokenizer(model_dir, out)
