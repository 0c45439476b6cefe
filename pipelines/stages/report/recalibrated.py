"""The base model recalibrated without fine-tuning: what LoRA has to beat (method/recalibration.py).

Maps are fitted on the labels that fine-tuning learns from, those of the training queries. So they
know as much as LoRA does and, like it, no reference; the calibration queries, which have some,
choose thresholds here as for the other models, and which map is held against LoRA.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.config import Config
from pipelines.method import metrics
from pipelines.method.metrics import Array
from pipelines.method.recalibration import FITS, Seen
from pipelines.stages.report.figures import groups, saved, saves_more
from pipelines.stages.report.measure import as_json, differences, measure
from pipelines.stages.report.replays import Replays, with_confidence
from pipelines.storage.location import MANIFEST, Location
from pipelines.storage.schemas import CALIBRATED

_QUERIES = 20_000  # to fit on, at most: five numbers do not change with more, and memory does


@dataclass(frozen=True)
class Recalibrated:
    """The base model's replays under each map. facts: of the labels and maps, for metrics.json.
    best: the map of the least Brier score on the calibration queries; None without these."""

    replays: Mapping[str, Replays]
    facts: dict[str, Any]
    best: str | None


def recalibrate(config: Config, base: Replays, label: Location) -> Recalibrated:
    """No map where fewer than two queries have a label."""
    seen, target, query = labels(label)
    facts: dict[str, Any] = {"queries": len(np.unique(query)), "responses": len(target)}
    if facts["queries"] < 2:
        return Recalibrated({}, facts | {"maps": {}}, None)
    maps = {name: fit(seen, target, query) for name, fit in FITS.items()}
    config = with_confidence(config)
    replays = {name: base.recalibrated(config, one) for name, one in maps.items()}
    told = {name: one.facts for name, one in maps.items()}
    brier = {name: _brier(one) for name, one in replays.items() if one.calibration}
    facts |= {"maps": told, "calibration_brier": brier}
    return Recalibrated(replays, facts, min(brier, key=brier.__getitem__) if brier else None)


def labels(label: Location) -> tuple[Seen, Array, NDArray[np.int64]]:
    """What maps see of labeled responses, their SSC, and numbers of their queries, in order of
    these' ids. Of more than _QUERIES queries about so many, those first by a hash of the id."""
    share = _QUERIES / max(1, (label / MANIFEST).read_json()["rows"])
    parts: dict[str, Array] = {}
    for batch in label.batches(["query_id", "prompt_ids", "samples"]):
        samples = batch["samples"].flatten()
        columns = [samples.field(name) for name in ("p_true", "mass", "num_tokens", "target")]
        columns.append(pc.equal(samples.field("finish_reason"), "length").cast("float64"))
        values = np.stack([one.to_numpy(zero_copy_only=False) for one in columns], axis=1)
        sizes = pc.list_value_length(batch["samples"]).to_numpy()
        prompts = np.repeat(pc.list_value_length(batch["prompt_ids"]).to_numpy(), sizes)
        values = np.c_[values, prompts].astype(np.float64)
        by_query = np.split(values, np.cumsum(sizes))[:-1]
        for name, own in zip(batch["query_id"].to_pylist(), by_query, strict=True):
            if share >= 1 or _place(name) < share:
                parts[name] = own[~np.isnan(own[:, 3])]  # without an answer no label
    ordered = [parts[name] for name in sorted(parts) if len(parts[name])]
    query = np.repeat(np.arange(len(ordered)), [len(own) for own in ordered])
    p_true, mass, tokens, target, cut, prompt = np.concatenate([*ordered, np.empty((0, 6))]).T
    return Seen.of(p_true, mass, tokens, prompt, cut), target, query


def figures(config: Config, replays: Mapping[str, Replays], found: Recalibrated) -> dict[str, Any]:
    """The `recalibrated` of metrics.json: each map's figures by group of data sets, as those of a
    model; and `calibrated_less`, the calibrated model's less the map's, paired."""
    datasets: dict[str, dict[str, Any]] = {}
    for title, members in groups(config).items():
        calibrated = replays[CALIBRATED]
        queries = calibrated.of_sets(members)
        weights = metrics.resample(len(queries), config.evaluate.bootstrap, config.seed)
        tuned = measure(calibrated.test.recorded.of(queries), weights)
        datasets[title] = {}
        for name, one in found.replays.items():
            part = one.test.recorded.of(queries)
            own = measure(part, weights)
            policies = [policy for policy in one.chosen if one.final(policy) is not None]
            more = {p: saves_more(calibrated, one, p, queries, weights) for p in policies}
            datasets[title][name] = as_json(part, own) | {
                "samples_saved": {p: saved(one, p, queries, weights) for p in policies},
                "calibrated_less": differences(own, tuned) | {"saved": more},
            }
    return found.facts | {"best": found.best, "datasets": datasets}


def _brier(replays: Replays) -> float:
    """On the calibration queries."""
    assert replays.calibration
    recorded = replays.calibration.recorded
    once = metrics.each_once(len(recorded.correct))
    return float(metrics.brier(recorded.confidence, recorded.correct.astype(float), once)[0])


def _place(query_id: str) -> float:
    """In [0, 1), by a hash."""
    return int.from_bytes(hashlib.sha256(query_id.encode()).digest()[:8], "big") / 2**64
