"""An adapter with random weights, as training leaves one: PEFT form, in float32."""

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM


def write_adapter(model: Path, out: Path, seed: int = 0, scale: float = 0.1, rank: int = 4) -> Path:
    """scale: of B's weights, which are 0 in a fresh adapter."""
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    lora = LoraConfig(r=rank, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    generator = torch.Generator().manual_seed(seed)
    tuned = get_peft_model(base, lora)
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.copy_(scale * torch.randn(weight.shape, generator=generator))
    tuned.save_pretrained(out)
    return out
