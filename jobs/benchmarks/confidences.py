"""P(True) of given responses under a model, and how well it tells which of them are right."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.config import Config
from pipelines.method import metrics
from pipelines.method.calibration_error import plain_ece

Array = NDArray[np.float64]
Scores = tuple[Array, Array]  # confidence and correctness, [queries, samples] each
RESAMPLES = 1000


def _of(metric: metrics.Metric) -> Callable[[Array, Array], float]:
    return lambda c, correct: float(metric(c, correct, metrics.each_once(len(c)))[0])


STATISTICS: dict[str, Callable[[Array, Array], float]] = {
    "mean_c": lambda confidence, correct: float(confidence.mean()),
    "ece": plain_ece,
    "auroc": _of(metrics.auroc),
    "brier": _of(metrics.brier),
}


def measured(confidence: Array, correct: Array) -> dict[str, float | None]:
    """Each statistic; None where it is undefined."""
    found = {name: statistic(confidence, correct) for name, statistic in STATISTICS.items()}
    found["accuracy"] = float(correct.mean())
    return {name: None if np.isnan(value) else round(value, 4) for name, value in found.items()}


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
    statistic: Callable[[Array, Array], float], base: Scores, trained: Sequence[Scores]
) -> tuple[float, float, float]:
    """(mean, low, high) of a statistic's mean over `trained` less that of `base`.

    A 95% percentile interval by resampling queries, the same ones of all: paired. NaN where the
    statistic is undefined.
    """
    queries = len(base[0])

    def at(rows: Any) -> float:
        mean = np.mean([statistic(one[0][rows], one[1][rows]) for one in trained])
        return float(mean - statistic(base[0][rows], base[1][rows]))

    draws = np.random.default_rng(0).integers(0, queries, (RESAMPLES, queries))
    values = np.array([at(rows) for rows in draws])
    defined = values[~np.isnan(values)]
    low, high = np.percentile(defined if len(defined) else values, [2.5, 97.5])
    return at(slice(None)), float(low), float(high)
