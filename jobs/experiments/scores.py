"""P(True) of given responses under a model, and how well it tells which of them are right."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.config import Config
from pipelines.method import calibration_error, metrics
from pipelines.method.calibration_error import Estimate
from pipelines.method.metrics import Array, Metric

if TYPE_CHECKING:
    from pipelines.method.prompts import Prompts

_AT_ONCE = 64  # responses of a forward: with a few a small model has little to do

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
    from pipelines.method.prompts import Prompts
    from pipelines.storage.models import fetch

    directory = fetch(config.model.source)
    prompts = Prompts.load(directory, config.confidence.question, config.model.chat)
    model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    found: dict[int, list[float]] = {}
    for places in _batches(rows):
        together = _together(config, model, prompts, [rows[place] for place in places])
        found |= dict(zip(places, together, strict=True))
    correct = [
        [is_correct(one["answer"], row["reference"], row["kind"]) for one in row["samples"]]
        for row in rows
    ]
    return np.array([found[place] for place in range(len(rows))]), np.array(correct, float)


def _batches(rows: Sequence[dict[str, Any]]) -> Iterator[list[int]]:
    """Places of rows that are scored together, whose prompts are about as long."""
    batch: list[int] = []
    responses = 0
    for place in sorted(range(len(rows)), key=lambda place: len(rows[place]["prompt_ids"])):
        more = len(_different(rows[place]))
        if batch and responses + more > _AT_ONCE:
            yield batch
            batch, responses = [], 0
        batch.append(place)
        responses += more
    if batch:
        yield batch


def _different(row: dict[str, Any]) -> list[tuple[int, ...]]:
    return list(dict.fromkeys(map(tuple, row["response_ids"])))


def _together(
    config: Config, model: Any, prompts: "Prompts", rows: Sequence[dict[str, Any]]
) -> list[list[float]]:
    """By two forwards: of the prompts, padded at their beginning, and of what follows them, padded
    at its end; so no padding stands within what a window of attention counts."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    from pipelines.method.losses import confidence_of

    asked = [row["prompt_ids"] for row in rows]
    of = [(number, ids) for number, row in enumerate(rows) for ids in _different(row)]
    rest = [prompts.scoring_ids(asked[row], ids)[len(asked[row]) :] for row, ids in of]
    padded = partial(pad_sequence, batch_first=True)
    first = padded([torch.tensor(ids) for ids in asked], padding_side="left")
    seen = padded([torch.ones(len(ids)).long() for ids in asked], padding_side="left")
    then = padded([torch.tensor(ids) for ids in rest])
    ends, end = torch.tensor([len(ids) - 1 for ids in rest]).unique(return_inverse=True)
    own = torch.tensor([row for row, _ in of])
    first, seen, then, ends, own = (one.to(model.device) for one in (first, seen, then, ends, own))
    with torch.inference_mode():
        cache = model(
            first,
            attention_mask=seen,
            position_ids=(seen.cumsum(1) - 1).clamp_min(0),
            logits_to_keep=1,
        ).past_key_values
        cache.batch_select_indices(own)
        whole = torch.cat([seen[own], torch.ones_like(then)], 1)
        logits = model(
            then,
            past_key_values=cache,
            attention_mask=whole,
            position_ids=whole.cumsum(1)[:, first.shape[1] :] - 1,
            logits_to_keep=ends,
        ).logits
        last = logits[torch.arange(len(rest)), end].float()
        values = confidence_of(last, config.confidence.kind, prompts)
    found = dict(zip(of, values.tolist(), strict=True))
    return [
        [found[number, tuple(ids)] for ids in row["response_ids"]]
        for number, row in enumerate(rows)
    ]


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

    def gain(weights: Array) -> Array:
        of = [np.mean([metric(*one, weights) for one in runs], axis=0) for runs in (after, before)]
        made: Array = of[0] - of[1]
        return made

    value = float(gain(metrics.each_once(len(before[0][0])))[0])
    return value, metrics.interval(gain(weights))


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
