"""Base model and adapter -> the joint loss of a micro-batch, in one forward."""

import torch
from torch import Tensor, nn

from pipelines.config import Config
from pipelines.method.losses import JointLoss, confidence_of, joint_loss
from pipelines.method.prompts import Prompts


class JointModel(nn.Module):
    """model: a PEFT model of a causal one. The LM head sees the positions that a loss needs."""

    def __init__(self, model: nn.Module, config: Config, prompts: Prompts):
        super().__init__()
        self.model = model
        self.config = config
        self.prompts = prompts

    def forward(self, batch: dict[str, Tensor]) -> JointLoss:
        """batch: of `micro_batches.collate`."""
        reply, response = batch["reply"], batch["response"]
        logits = self._logits(batch["ids"], torch.cat([reply, response]))
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

    def _logits(self, ids: Tensor, places: Tensor) -> Tensor:
        """[places, vocab], float32, at (row, column) `places`."""
        causal = self.model.get_base_model()  # type: ignore[operator]
        # No mask: padding stands on the right, where no token of a causal model looks, and what
        # is computed there meets nothing. Without one, attention takes its fast kernels.
        hidden = causal.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        return causal.get_output_embeddings()(hidden[places[:, 0], places[:, 1]]).float()
