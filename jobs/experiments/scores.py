"""P(True) of given responses under a model, and how well it tells which of them are right."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.config import Config
from pipelines.method import calibration_error, metrics
from pipelines.method.calibration_error import Estimate
from pipelines.method.metrics import Array, Metric

Scores = tuple[Array, Array]  # confidence and correctness, [queries, samples] each
RANKS: dict[str, Metric] = {"AUROC": metrics.auroc, "WQD": metrics.wqd}  # more is better
STATISTICS: dict[str, Metric] = {
    "mean c": lambda confidence, correct, weights: metrics.mean(confidence.mean(1), weights),
    **RANKS,
    "Brier": metrics.brier,
}


def score(config: Config, model: Any, rows: Sequence[dict[str, Any]]) -> Scores:
    """Scores the responses of rows of schemas.LABELS: a prompt, and what is the same, once.

    model: a causal one of transformers, or a PEFT model of one.
    """
    import torch

    from pipelines.method.answers import is_correct
    from pipelines.method.losses import confidence_of
    from pipelines.method.prompts import Prompts
    from pipelines.storage.models import fetch

    directory = fetch(config.model.source)
    prompts = Prompts.load(directory, config.confidence.question, config.model.chat)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.eval().to(device)
    confidence = []
    for row in rows:
        prompt_ids = row["prompt_ids"]
        own = list(dict.fromkeys(map(tuple, row["response_ids"])))
        rest = [prompts.scoring_ids(prompt_ids, ids)[len(prompt_ids) :] for ids in own]
        ids = torch.zeros(len(own), max(map(len, rest)), dtype=torch.long)  # no token sees padding
        for i, one in enumerate(rest):
            ids[i, : len(one)] = torch.tensor(one)
        last = torch.tensor([len(one) - 1 for one in rest])
        with torch.inference_mode():
            prompt = torch.tensor([prompt_ids], device=device)
            cache = model(prompt, logits_to_keep=1).past_key_values
            cache.batch_repeat_interleave(len(own))
            ids, last = ids.to(device), last.to(device)
            logits = model(ids, past_key_values=cache, logits_to_keep=last).logits
            values = confidence_of(
                logits.diagonal().T.float(), config.confidence.kind, prompts
            ).tolist()
        found = dict(zip(own, values, strict=True))
        confidence.append([found[tuple(ids)] for ids in row["response_ids"]])
    correct = [
        [is_correct(one["answer"], row["reference"], row["kind"]) for one in row["samples"]]
        for row in rows
    ]
    return np.array(confidence), np.array(correct, float)


def figure(metric: Metric, scores: Scores) -> float:
    return float(metric(*scores, metrics.each_once(len(scores[0])))[0])


def difference(
    metric: Metric, before: Sequence[Scores], after: Sequence[Scores], weights: Array
) -> tuple[float, list[float] | None]:
    """The metric's mean over `after` less that over `before`, each of several training runs, and
    its 95% interval over queries.

    weights: of the queries, as metrics.resample's, the same for all: paired. None where it is
    undefined on every resample.
    """

    def apart(weights: Array) -> Array:
        of = [np.mean([metric(*one, weights) for one in runs], axis=0) for runs in (after, before)]
        made: Array = of[0] - of[1]
        return made

    value = float(apart(metrics.each_once(len(before[0][0])))[0])
    return value, metrics.interval(apart(weights))


def mean_ece(runs: Sequence[Scores], weights: Array) -> Estimate:
    """ECE as the mean over training runs, whose noise over queries is taken for one and the same:
    the ends of the interval are means, so it is no narrower than a run's."""
    each = [calibration_error.ece(*one, weights) for one in runs]
    low, high = np.mean([one.ci95 for one in each], axis=0)
    return Estimate(
        float(np.mean([one.plain for one in each])),
        float(np.mean([one.debiased for one in each])),
        (float(low), float(high)),
        np.mean([one.resampled for one in each], axis=0),
    )
