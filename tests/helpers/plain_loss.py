"""The paper's loss as plainly as it can be written: what the fused one is compared with."""

import torch
from torch.nn.functional import smooth_l1_loss

ETA, OMEGA, BETA = 0.75, 0.1, 0.25


def two_forwards(module, rows):
    """The paper's loss row by row: one forward for the confidence, another for the response."""
    yes = module.prompts.yes_id
    totals = []
    for one in rows:
        prompt, response = one["prompt_ids"], one["response_ids"]
        asked = torch.tensor([prompt + response + one["turn_ids"]])
        confidence = module.model(input_ids=asked).logits[0, -1].softmax(-1)[yes]
        total = smooth_l1_loss(confidence, torch.tensor(one["target"]), beta=BETA)
        if one["target"] > ETA:
            logits = module.model(input_ids=torch.tensor([prompt + response])).logits[0]
            log_p = logits.log_softmax(-1)
            picked = [log_p[len(prompt) + i - 1, token] for i, token in enumerate(response)]
            total = total - OMEGA * torch.stack(picked).mean()
        totals.append(total)
    return torch.stack(totals).mean()
