"""What training goes on from: the trained weights and Adam's moments, whole, in safetensors.

DeepSpeed's own checkpoints are pickles, in parts for one number of workers. These are whole, so
that any number of workers goes on from them, under any ZeRO stage. With LoRA they are small.
"""

from pathlib import Path
from typing import Any

import torch
from deepspeed.utils import (
    safe_get_full_fp32_param,
    safe_get_full_optimizer_state,
    safe_set_full_fp32_param,
    safe_set_full_optimizer_state,
    safe_set_local_fp32_param,
    safe_set_local_optimizer_state,
)
from safetensors.torch import load_file
from torch import Tensor, nn

from pipelines.training.micro_batches import Row, collate

_MOMENTS = ("exp_avg", "exp_avg_sq")  # as torch.optim.AdamW calls them
_ANY_ROW: Row = {
    "task": "generation",
    "prompt_ids": [0],
    "response_ids": [0],
    "turn_ids": [],
    "ended": False,
    "key": (0,),
}


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: one for name, one in model.named_parameters() if one.requires_grad}


def gather(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(float32 weights, moments) of what a DeepSpeed engine trains. All workers must call it."""
    weights, moments = {}, {}
    for name, parameter in trained(model).items():
        weights[name] = safe_get_full_fp32_param(parameter).cpu()
        for moment in _MOMENTS:
            whole = safe_get_full_optimizer_state(parameter, moment)
            moments[f"{name}.{moment}"] = whole.cpu()
    return weights, moments


def restore(engine: Any, optimizer: Any, schedule: Any, state: Path, steps: int) -> None:
    """Sets a fresh engine to where `state`, a safetensors file, was written after `steps` steps.

    engine.module has the trained model as `model`; optimizer and schedule are torch's, inside it.
    """
    saved = load_file(state)
    parameters = trained(engine.module.model)
    for name, parameter in parameters.items():
        _set(parameter, saved[name])
    # DeepSpeed copies its float32 weights into the model's, and has moments, once it took a step:
    # this one has neither gradients nor a learning rate, so it changes nothing.
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    engine.set_gradient_accumulation_boundary(True)
    engine.backward(engine(collate([_ANY_ROW], engine.device, None)).total * 0.0)
    engine.step()
    for name, parameter in parameters.items():
        for moment in _MOMENTS:
            _set(parameter, saved[f"{name}.{moment}"], moment)
    for of_partition in optimizer.state.values():
        of_partition["step"].fill_(steps)
    for _ in range(steps - 1):  # that step was the schedule's first
        schedule.step()


def _set(parameter: Any, value: Tensor, moment: str | None = None) -> None:
    if hasattr(parameter, "ds_id"):  # under ZeRO 3 a worker holds its part, the last one padded
        part, rank = parameter.ds_tensor.numel(), torch.distributed.get_rank()
        flat = value.flatten()[part * rank : part * (rank + 1)]
        value = nn.functional.pad(flat, (0, part - len(flat)))
        if moment is None:
            safe_set_local_fp32_param(parameter, value)
        else:
            safe_set_local_optimizer_state(parameter, value, moment)
    elif moment is None:
        safe_set_full_fp32_param(parameter, value)
    else:
        safe_set_full_optimizer_state(parameter, value, moment)
