"""The trained model as tests want it: its adapter is no fresh one, which would change nothing."""

import torch

from pipelines.config import Config
from pipelines.method.prompts import Prompts


def joint_model(config: Config):
    """A JointModel whose adapter's B, zero at first, is not: else A would have no gradient."""
    from pipelines.training.joint_model import JointModel
    from pipelines.training.lora import attach

    source = config.model.source
    torch.manual_seed(1)
    module = JointModel(attach(source, config), config, Prompts.load(source))
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    return module
