"""P(True) of given responses under a model, and how well it tells which of them are right."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.config import Config
from pipelines.method import metrics
from pipelines.method.calibration_error import plain_ece
from pipelines.method.metrics import Array, Metric

Scores = tuple[Array, Array]  # confidence and correctness, [queries, samples] each
RESAMPLES = 1000
STATISTICS: dict[str, Metric] = {
    "mean_c": lambda confidence, correct, weights: metrics.mean(confidence.mean(1), weights),
    "ece": plain_ece,
    "auroc": metrics.auroc,
    "brier": metrics.brier,
}


def measured(scores: Scores) -> dict[str, float | None]:
    """Each statistic, and the accuracy; None where it is undefined."""
    found = {
        name: figure(metric, scores)
        for name, metric in (STATISTICS | {"accuracy": metrics.accuracy}).items()
    }
    return {name: None if np.isnan(value) else round(value, 4) for name, value in found.items()}


def figure(metric: Metric, scores: Scores) -> float:
    return float(metric(*scores, metrics.each_once(len(scores[0])))[0])


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
    model.eval()
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
            cache = model(torch.tensor([prompt_ids]), logits_to_keep=1).past_key_values
            cache.batch_repeat_interleave(len(own))
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


def difference(
    metric: Metric, base: Scores, trained: Sequence[Scores]
) -> tuple[float, list[float] | None]:
    """The metric's mean over `trained` less that of `base`, and its 95% interval over queries.

    The same queries are resampled for all: paired. None where it is undefined on every resample.
    """
    queries = len(base[0])
    weights = metrics.resample(queries, RESAMPLES, seed=0)

    def apart(weights: Array) -> Array:
        mean: Array = np.mean([metric(*one, weights) for one in trained], axis=0)
        return mean - metric(*base, weights)

    return float(apart(metrics.each_once(queries))[0]), metrics.interval(apart(weights))
