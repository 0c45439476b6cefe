"""Which recipe of training examples makes the quickstart's model know best when it is right.

Each recipe draws 400 examples from the quickstart's labels and trains an adapter with the train
stage; then the base model's responses to calibration queries, sampled once, are scored with P(True)
under the adapter. So recipes differ in confidences alone, and the test queries, on which the chosen
one is reported, have no part in the choice. Everything lies in the quickstart's root, and what is
finished there is not done again: the labels of a finished quickstart are taken, and a comparison
that was cut goes on.
"""

import itertools
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jobs.benchmarks.confidences import STATISTICS, Scores, difference, figure, measured, score
from jobs.benchmarks.figure import Figure, Reach, apart
from pipelines import config as configs
from pipelines import pipeline
from pipelines.config import Config
from pipelines.running import dag, lease
from pipelines.running.dag import Result, Step
from pipelines.stages import examples, label, train
from pipelines.storage.location import Location
from pipelines.storage.schemas import ADAPTER_DIR

_ROOT = Path(__file__).parent.parent.parent
# The last three have a smaller share of generation examples: it leaves more for the confidence.
RECIPES: dict[str, dict[str, Any]] = {
    "paper_text": {"loss": "joint", "draw": "even", "generation_ratio": 0.7},
    "public_code": {"loss": "own", "draw": "even", "generation_ratio": 0.7},
    "natural": {"loss": "own", "draw": "natural", "generation_ratio": 0.3},
    "natural_10": {"loss": "own", "draw": "natural", "generation_ratio": 0.1},
    "weighted": {"loss": "own", "draw": "weighted", "generation_ratio": 0.3},
}
SEEDS = 3
TOTAL, SAMPLES = 400, 8  # examples; responses a query
FULL = [
    f"examples.total={TOTAL}",
    "data.calibration=[{name: capitals, split: calibration},"
    "{name: arithmetic, split: calibration, limit: 70}]",
]
QUICK = [
    "data={train: [{name: capitals, limit: 8}],"
    "calibration: [{name: capitals, split: calibration, limit: 4}]}",
    "sampling.num_samples=4", "examples.bin_width=0.25",
]  # fmt: skip


def run(quick: bool) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as scratch:
        config = configs.load(
            str(_ROOT / "jobs/configs/quickstart.yaml"),
            [f"root={scratch}", *QUICK] if quick else FULL,
        )
        config = config.model_copy(update={"root": str(_ROOT / config.root)})
        yield from apart(
            compare, config, ["weighted"] if quick else list(RECIPES), 1 if quick else SEEDS
        )


def compare(config: Config, names: Sequence[str], seeds: int) -> list[Figure]:
    """Prints a line of JSON for each recipe and seed as it ends, and a table of all."""
    steps = pipeline.steps(config, "label")
    steps += [_responses(config), _scores(config, "base", ())]
    # The recipes of a seed stand together, so that a comparison that is cut compares.
    for seed, name in itertools.product(range(seeds), names):
        made = _adapter(config, name, seed)
        steps += [made, _scores(config, f"{name}_{seed}", (made.name,))]
    with lease.hold(Location.of(config.root)):
        artifacts = dag.run(dag.plan(steps, config.root), config.root, partial(print, flush=True))
    base = _read(artifacts["scores_base"])
    found = {
        name: [_read(artifacts[f"scores_{name}_{seed}"]) for seed in range(seeds)] for name in names
    }
    _print_table(base, found)
    brier = partial(figure, STATISTICS["brier"])
    return [
        Figure.of(
            f"recipes.{name}", "Brier", [(brier(one), brier(base)) for one in of_seeds],
            Reach("at most", 1),
        )
        for name, of_seeds in found.items()
    ]  # fmt: skip


def _responses(config: Config) -> Step:
    """The base model's to the calibration queries, drawn as the labels' are."""
    few = config.sampling.model_copy(update={"num_samples": SAMPLES})
    config = config.model_copy(update={"sampling": few})

    def run(inputs: Mapping[str, Location], out: Location) -> Result:
        import pyarrow.parquet as pq

        (out / "queries").make_dir()
        queries = inputs["held_out"].read_table("calibration")
        pq.write_table(queries, f"{out.path}/queries/train.parquet")  # where `label` looks
        return label.run(config, {"queries": out / "queries"}, out)

    return Step("responses", run, label.spec(config), ("held_out",))


def _adapter(config: Config, name: str, seed: int) -> Step:
    own = config.examples.model_copy(update=RECIPES[name])
    config = config.model_copy(update={"examples": own, "seed": seed})

    def run(inputs: Mapping[str, Location], out: Location) -> Result:
        (out / "examples").clear()
        drawn = examples.run(config, inputs, out / "examples")
        trained = train.run(config, {"examples": out / "examples"}, out)
        return Result(trained.rows, "", {"drawn": drawn.metrics, "trained": trained.metrics})

    spec = {"examples": examples.spec(config), "train": train.spec(config)}
    return Step(f"adapter_{name}_{seed}", run, spec, ("label",))


def _scores(config: Config, name: str, adapter: tuple[str, ...]) -> Step:
    """Of the responses, under the base model or the adapter of a step; prints a line of JSON."""

    def run(inputs: Mapping[str, Location], out: Location) -> Result:
        from peft import PeftModel

        from pipelines.storage.models import fetch
        from pipelines.training.lora import load_base

        model: Any = load_base(fetch(config.model.source), config)
        for one in adapter:
            model = PeftModel.from_pretrained(model, f"{inputs[one].path}/{ADAPTER_DIR}")
        rows = inputs["responses"].read_table().sort_by("query_id").to_pylist()
        scores = score(config, model, rows)
        (out / "scores.json").write_json([part.tolist() for part in scores])
        found = measured(scores)
        print(json.dumps({"recipe": name, **found}), flush=True)
        return Result(len(rows), "", found)

    spec = {"confidence": config.confidence.model_dump(mode="json"), "dtype": config.train.dtype}
    return Step(f"scores_{name}", run, spec, ("responses", *adapter))


def _read(artifact: Location) -> Scores:
    confidence, correct = (artifact / "scores.json").read_json()
    return np.array(confidence), np.array(correct)


def _print_table(base: Scores, found: Mapping[str, list[Scores]]) -> None:
    """Means over seeds, their range, and differences to base with intervals over queries."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Means over seeds (least, most); differences to base (95% over queries)")
    for column in ("recipe", *STATISTICS):
        table.add_column(column)
    table.add_row("base", *(f"{figure(metric, base):.3f}" for metric in STATISTICS.values()))
    for name, of_seeds in found.items():
        cells = []
        for metric in STATISTICS.values():
            values = [figure(metric, one) for one in of_seeds]
            mean, interval = difference(metric, base, of_seeds)
            low, high = interval or (np.nan, np.nan)
            cells.append(
                f"{np.mean(values):.3f} [{min(values):.3f}, {max(values):.3f}]\n"
                f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
            )
        table.add_row(name, *cells)
    Console(width=120).print(table)
