"""Base model and adapter -> the joint loss of a micro-batch, in one forward."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.config import Config
from pipelines.method.losses import JointLoss, confidence_of, joint_loss
from pipelines.method.prompts import Prompts
from pipelines.storage.models import check_modules
from pipelines.training.dropout import RowDropout
from pipelines.training.lora import attach

# Of what logits differ by, over what they are: rounding stays below it, a lost scale does not.
_ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 2e-2}


class JointModel(nn.Module):
    """model: a PEFT model of a causal one. The LM head sees the positions that a loss needs."""

    def __init__(self, model: nn.Module, config: Config, prompts: Prompts):
        super().__init__()
        self.model = model.eval()  # as in the engine: the adapter's dropout is the only one
        self.config = config
        self.prompts = prompts
        self._dropouts = [one for one in model.modules() if isinstance(one, RowDropout)]

    def forward(self, batch: dict[str, Tensor]) -> JointLoss:
        """batch: of `micro_batches.collate`."""
        reply, response = batch["reply"], batch["response"]
        with self._dropping(batch["keys"]):
            logits = self._logits(batch["ids"], torch.cat([reply, response])).float()
        reply_logits, token_logits = logits.split([len(reply), len(response)])
        return joint_loss(
            confidence_of(reply_logits, self.config.confidence.kind, self.prompts),
            batch["target"],
            batch["weight"],
            token_logits,
            batch["label"],
            batch["share"],
            omega=self.config.train.omega,
            beta=self.config.train.beta,
        )

    @torch.no_grad()
    def check_logits(self) -> None:
        """ValueError where the logits that training reads are not those that the model gives.

        Of one row. A fresh adapter adds nothing to them, so dropout, which is on, changes nothing.
        """
        causal, prompts = self.model.get_base_model(), self.prompts  # type: ignore[operator]
        row = prompts.scoring_ids(prompts.sampling_ids("What is 2 + 2?"), [])
        weight = next(self.parameters())
        ids = torch.tensor([row], device=weight.device)
        backwards = torch.arange(len(row), device=ids.device).flip(0)
        places = torch.stack([torch.zeros_like(backwards), backwards], dim=1)
        with self._dropping(torch.zeros_like(ids, dtype=torch.int32)):
            given = causal(input_ids=ids, use_cache=False).logits[0]
            read = self._logits(ids, places).flip(0)
        differs = float((read - given).float().norm() / given.float().norm())
        if not differs <= _ROUNDING[weight.dtype]:
            raise ValueError(
                f"model.source: training would read other logits than a model of type "
                f"{causal.config.model_type} gives (they differ by {differs:.0%}); it cannot be "
                "trained here"
            )

    @contextmanager
    def _dropping(self, keys: Tensor) -> Iterator[None]:
        for dropout in self._dropouts:
            dropout.tokens = keys
        yield
        for dropout in self._dropouts:
            dropout.tokens = None

    def _logits(self, ids: Tensor, places: Tensor) -> Tensor:
        """[places, vocab] at (row, column) `places`: the model's own, with all that it does to
        them, for its forward goes on from these positions alone."""

        def pick(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            output.last_hidden_state = output.last_hidden_state[places[:, 0], places[:, 1]][None]
            return output

        causal = self.model.get_base_model()  # type: ignore[operator]
        hook = causal.get_decoder().register_forward_hook(pick)
        try:
            # No mask: padding stands on the right, where no token of a causal model looks, and
            # what is computed there meets nothing. Without one, attention takes its fast kernels.
            return causal(input_ids=ids, use_cache=False).logits[0]
        finally:
            hook.remove()


def ready(model_dir: Path, config: Config, prompts: Prompts, device: Any) -> JointModel:
    """A model that is there, with a fresh adapter, on the device.

    ValueError with one line where it cannot be trained here, which starting anew would not change.
    """
    check_modules(str(model_dir), config.train.lora.targets)
    try:
        model = attach(model_dir, config)
    except ValueError as error:  # of transformers or PEFT
        raise ValueError(
            f"model.source, train.lora.targets: {config.model.source} cannot be trained here "
            f"({' '.join(str(error).split())})"
        ) from None
    try:
        module = JointModel(model, config, prompts).to(device)
        module.check_logits()
    except torch.OutOfMemoryError:
        raise ValueError(
            f"model.source: {config.model.source} in train.dtype {config.train.dtype} does not "
            "fit the memory of a worker's GPU"
        ) from None
    return module
