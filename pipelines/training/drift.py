"""How far a merged model is from base + adapter, as trained, in the confidence that it gives.

Merging rounds base + adapter to the dtype of the weights, and bfloat16's last bit of a weight is as
large as what a small adapter adds to it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from pipelines.config import Config
from pipelines.method.losses import confidence_of
from pipelines.method.prompts import Prompts
from pipelines.training.lora import load_base, load_tuned
from pipelines.training.micro_batches import Row

_LARGE = 0.1  # of the adapter's effect


def measure(
    model_dir: Path, adapter_dir: Path, merged_dir: Path, rows: Sequence[Row], config: Config
) -> dict[str, Any]:
    """Absolute differences of c over rows (schemas.EXAMPLES), each as its mean and maximum.

    effect: adapter - base. merged: the merged model as written - adapter. All of these in
    train.dtype; and against the adapter in float32, `adapter_float32` and `merged_float32`: what
    the arithmetic alone does, and together with the merge.
    """
    kind = config.confidence.kind
    prompts = Prompts.load(model_dir, config.confidence.question, config.model.chat)

    def c(model: nn.Module) -> np.ndarray:
        return confidences(model, rows, kind, prompts)

    tuned = load_tuned(model_dir, adapter_dir, config)
    with Float32():
        exact = c(tuned)
    for weight in tuned.parameters():  # as DeepSpeed trains them; the file has them in float32
        weight.data = weight.data.to(getattr(torch, config.train.dtype))
    adapter = c(tuned)
    with tuned.disable_adapter():
        base = c(tuned)
    del tuned
    merged = c(load_base(merged_dir, config))
    return {
        "examples": len(rows),
        "effect": _apart(adapter, base),
        "merged": _apart(merged, adapter),
        "adapter_float32": _apart(adapter, exact),
        "merged_float32": _apart(merged, exact),
    }


@torch.inference_mode()
def confidences(model: nn.Module, rows: Sequence[Row], kind: str, prompts: Prompts) -> np.ndarray:
    """c of each row by the model's own forward; [rows], float64."""
    model.eval()
    hook = model.get_decoder().register_forward_hook(_last)  # type: ignore[operator]
    try:
        logits = [
            model(
                input_ids=torch.tensor(
                    [[*row["prompt_ids"], *row["response_ids"], *row["turn_ids"]]]
                ),
                use_cache=False,
            ).logits[0, -1]
            for row in rows
        ]
    finally:
        hook.remove()
    return confidence_of(torch.stack(logits).float(), kind, prompts).double().numpy()


def _last(_module: nn.Module, _inputs: Any, output: Any) -> Any:
    """Of the decoder's positions the one that is read: the others need not meet the LM head."""
    output.last_hidden_state = output.last_hidden_state[:, -1:]
    return output


class Float32(TorchFunctionMode):
    """Computes in float32 what a bfloat16 model would in bfloat16: weights are widened one at a
    time, where they are used, so the model takes no more memory."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        args, kwargs = tree_map(_widened, (args, kwargs or {}))
        return func(*args, **kwargs)


def _widened(value: Any) -> Any:
    is_narrow = isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16
    return value.float() if is_narrow else value


def told(drift: dict[str, Any]) -> str:
    """The drift in one line; where it is large, with what to do."""
    effect, merged = drift["effect"]["mean"], drift["merged"]
    exact, rounded = drift["merged_float32"]["mean"], drift["adapter_float32"]["mean"]
    line = (
        f"export: on {drift['examples']} examples the merged model's confidence is "
        f"{merged['mean']:.2g} from the adapter's, {merged['max']:.2g} at most; "
        f"the adapter moves the base model's by {effect:.2g}"
    )
    if max(merged["mean"], exact) <= _LARGE * effect:
        return line
    if rounded < exact / 2:
        return f"{line}. engine.adapter=lora serves the adapter as it was trained"
    return (
        f"{line}. Without the merge, too, bfloat16 moves it by {rounded:.2g}: train.dtype and "
        "engine.dtype float32 would not"
    )


def _apart(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    apart = np.abs(one - other)
    return {"mean": float(apart.mean()), "max": float(apart.max())}
