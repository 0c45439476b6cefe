"""Variants of a config: each draws examples and trains an adapter, and is compared by confidences.

The base model's responses to the calibration queries, sampled once, are scored with P(True) under
each adapter: far cheaper than new responses of each, and confidences alone differ. So nothing is
told of the accuracy of a trained model's own answers, which the generation loss is for. The test
queries have no part in it, so a setting may be chosen by it. Training runs as often as the config
has seeds (`seed` and `train.seeds`).
"""

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.experiments import recorded
from jobs.experiments.scores import Scores, score
from pipelines import pipeline
from pipelines.config import Config, vary
from pipelines.method.consistency import soft_self_consistency
from pipelines.running.dag import Result, Step, reads
from pipelines.stages import examples, label, train
from pipelines.storage.location import Location
from pipelines.storage.schemas import ADAPTER_DIR, LABELS


@dataclass(frozen=True)
class Variant:
    """name: of its steps; overrides: what it changes, as `--set` does."""

    name: str
    overrides: Sequence[str] = ()


def steps(config: Config, variants: Sequence[Variant]) -> list[Step]:
    """Labels, responses, and of each variant and seed an adapter and its scores."""
    recorded.check_calibration(config)
    made = [*pipeline.steps(config, "label"), _responses(config), _scores(config, "base", None)]
    own = {one.name: _labels(config, vary(config, one.overrides), one.name) for one in variants}
    made += [labels for labels in own.values() if labels is not None]
    # The variants of a seed stand together, so that a comparison that is cut compares.
    for seed, variant in itertools.product(seeds(config), variants):
        varied = vary(config, [*variant.overrides, f"seed={seed}", "train.seeds=[]"])
        labels = own[variant.name]
        adapter = _adapter(varied, f"{variant.name}_{seed}", labels.name if labels else "label")
        made += [adapter, _scores(config, f"{variant.name}_{seed}", adapter.name)]
    return made


def seeds(config: Config) -> list[int]:
    return [config.seed, *config.train.seeds]


def read(inputs: Mapping[str, Location], name: str) -> Scores:
    """name: of a variant and seed, or base."""
    confidence, correct = (inputs[f"scores_{name}"] / "scores.json").read_json()
    return np.array(confidence), np.array(correct)


def _responses(config: Config) -> Step:
    """The base model's to the calibration queries, drawn as the labels' are."""
    config = vary(config, [f"sampling.num_samples={config.evaluate.num_samples}"])

    def run(inputs: Mapping[str, Location], out: Location) -> Result:
        (out / "queries").make_dir()
        queries = inputs["held_out"].read_table("calibration")
        place = (out / "queries" / "train.parquet").path  # where `label` looks
        pq.write_table(queries, place, filesystem=out.filesystem)
        return label.run(config, {"queries": out / "queries"}, out)

    return Step("responses", run, label.spec(config), reads("held_out"), label.VERSION)


def _labels(config: Config, varied: Config, name: str) -> Step | None:
    """A variant's own labels; None where they are the config's.

    Fewer samples are the first of the config's; what is drawn otherwise is sampled anew.
    """
    if label.spec(varied) == label.spec(config):
        return None
    samples, most = varied.sampling.num_samples, config.sampling.num_samples
    if label.spec(vary(varied, [f"sampling.num_samples={most}"])) != label.spec(config):
        run = partial(label.run, varied)
        return Step(f"label_{name}", run, label.spec(varied), reads("queries"), label.VERSION)
    if samples > most:
        raise ValueError(
            f"sampling.num_samples ({most}): labels of {samples} samples are asked for, and only "
            "fewer can be made of these"
        )

    def cut(inputs: Mapping[str, Location], out: Location) -> Result:
        rows = 0
        place = out.filesystem.open_output_stream((out / "labels.parquet").path)
        with place, pq.ParquetWriter(place, LABELS) as file:
            for batch in inputs["label"].batches(LABELS.names):
                kept = [first_samples(row, samples) for row in batch.to_pylist()]
                file.write_table(pa.Table.from_pylist(kept, LABELS))
                rows += len(kept)
        return Result(rows, str(LABELS))

    return Step(f"label_{name}", cut, {"samples": samples}, reads("label"))


def first_samples(row: dict[str, object], samples: int) -> dict[str, object]:
    """A row of schemas.LABELS with its first samples alone, and their labels."""
    kept = [dict(one) for one in row["samples"][:samples]]  # type: ignore[index]
    answers, confidences = [one["answer"] for one in kept], [one["p_true"] for one in kept]
    for one, target in zip(kept, soft_self_consistency(answers, confidences), strict=True):
        one["target"] = target
    ids = row["response_ids"][:samples]  # type: ignore[index]
    return row | {"samples": kept, "response_ids": ids}


def _adapter(config: Config, name: str, labels: str) -> Step:
    def run(inputs: Mapping[str, Location], out: Location) -> Result:
        (out / "examples").clear()
        drawn = examples.run(config, inputs, out / "examples")
        trained = train.run(config, {"examples": out / "examples"}, out)
        metrics = {"drawn": drawn.metrics, "trained": trained.metrics}
        return Result(trained.rows, "", metrics, trained.scratch)

    spec = {
        "examples": examples.spec(config) | {"version": examples.VERSION},
        "train": train.spec(config) | {"version": train.VERSION},
    }
    return Step(f"adapter_{name}", run, spec, reads(label=labels))


def _scores(config: Config, name: str, adapter: str | None) -> Step:
    """Of the responses, under the base model or the adapter of a step."""

    def run(inputs: Mapping[str, Location], out: Location) -> Result:
        from peft import PeftModel

        from pipelines.storage.models import fetch
        from pipelines.training.lora import load_base

        model = load_base(fetch(config.model.source, config.engine.trust_remote_code), config)
        if adapter is not None:
            with tempfile.TemporaryDirectory() as scratch:
                (inputs["adapter"] / ADAPTER_DIR).download(Path(scratch))
                model = PeftModel.from_pretrained(model, scratch)
        rows = inputs["responses"].read_table().sort_by("query_id").to_pylist()
        scores = score(config, model, rows)
        (out / "scores.json").write_json([part.tolist() for part in scores])
        return Result(len(rows))

    spec = {"confidence": config.confidence.model_dump(mode="json"), "dtype": config.train.dtype}
    adapted = {"adapter": adapter} if adapter else {}
    return Step(f"scores_{name}", run, spec, reads("responses", **adapted))
