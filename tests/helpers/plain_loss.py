"""The joint loss as plainly as it can be written: what the fused one is compared with."""

import torch
from torch.nn.functional import smooth_l1_loss

OMEGA, BETA = 0.1, 0.25


def two_forwards(module, rows):
    """Row by row: one forward for the confidence, another for the response and its end."""
    yes, end = module.prompts.yes_id, module.prompts.turn_ids[0]
    totals = []
    for one in rows:
        prompt, response, total = one["prompt_ids"], one["response_ids"], torch.zeros(())
        if one["task"] != "generation":
            asked = torch.tensor([prompt + response + one["turn_ids"]])
            confidence = module.model(input_ids=asked).logits[0, -1].softmax(-1)[yes]
            smooth = smooth_l1_loss(confidence, torch.tensor(one["target"]), beta=BETA)
            total = total + one["weight"] * smooth
        if one["task"] != "calibration":
            labels = response + [end] * one["ended"]
            logits = module.model(input_ids=torch.tensor([prompt + labels])).logits[0]
            log_p = logits.log_softmax(-1)
            picked = [log_p[len(prompt) + i - 1, token] for i, token in enumerate(labels)]
            total = total - OMEGA * torch.stack(picked).mean()
        totals.append(total)
    return torch.stack(totals).mean()
