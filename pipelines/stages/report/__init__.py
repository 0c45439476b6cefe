"""Stage `report`: policies replayed, metrics with intervals, `metrics.json` and `index.html`.

Thresholds are chosen on the calibration queries and reported on the test queries. Data sets are
listed alone and together: `in_domain` (those that were trained on) and `out_of_domain`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.config import Config
from pipelines.method import metrics
from pipelines.method.answers import is_correct
from pipelines.method.metrics import Array
from pipelines.method.policies import POLICIES, replay
from pipelines.running.dag import Result
from pipelines.storage.location import MANIFEST, Location
from pipelines.storage.schemas import LIVE_FILE, LOSSES_FILE, METRICS_FILE

MODELS = ("base", "calibrated")
STATISTICS: dict[str, metrics.Statistic] = {
    "accuracy": lambda confidence, correct: float(correct.mean()) if len(correct) else None,
    "ece": metrics.ece,
    "auroc": metrics.auroc,
    "brier": metrics.brier,
}
IN_DOMAIN, OUT_OF_DOMAIN = "in_domain", "out_of_domain"


def spec(config: Config) -> dict[str, Any]:
    return {
        "seed": config.seed,
        "evaluate": config.evaluate.model_dump(mode="json"),
        "train_sets": sorted({entry.title for entry in config.data.train}),
    }


def run(config: Config, inputs: Mapping[str, Location], out: Location) -> Result:
    from pipelines.stages.report.page import render

    columns = ["query_id", "dataset", "role", "kind", "reference", "samples"]
    rows = {
        # By id: rows lie in the order in which they ended, and bootstraps draw by position.
        model: inputs["evaluate"].read_table(f"{model}-", columns).sort_by("query_id").to_pylist()
        for model in MODELS
    }
    trained = {entry.title for entry in config.data.train}
    tested = list(dict.fromkeys(entry.title for entry in config.data.eval))
    together = {IN_DOMAIN: trained & set(tested), OUT_OF_DOMAIN: set(tested) - trained}
    groups = {name: members for name, members in together.items() if members}
    groups |= {title: {title} for title in tested}
    calibration = {
        model: [row for row in rows[model] if row["role"] == "calibration"] for model in MODELS
    }
    datasets: dict[str, Any] = {}
    for title, members in groups.items():
        datasets[title] = {}
        for model in MODELS:
            test = [r for r in rows[model] if r["role"] == "test" and r["dataset"] in members]
            datasets[title][model] = measure(config, test, calibration[model])
    results = {
        "datasets": datasets,
        "cost": _cost(config, inputs, datasets),
        "live": (inputs["evaluate"] / LIVE_FILE).read_json(),
        "samples_saved": {title: _saved(datasets[title]) for title in datasets},
    }
    (out / METRICS_FILE).write_json(results)
    losses = (inputs["train"] / LOSSES_FILE).read_text().splitlines()
    page = render(
        results,
        {t: {m: _arrays_of(rows[m], members) for m in MODELS} for t, members in groups.items()},
        [json.loads(line) for line in losses],
        config,
    )
    (out / "index.html").write_text(page)
    return Result(len(groups), "", {"groups": sorted(groups)})


def measure(
    config: Config, test: Sequence[dict[str, Any]], calibration: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The M of metrics.json for one model on some queries.

    Per-response figures use the responses with an answer or without: one without is wrong.
    """
    confidence, correct = arrays(test)
    evaluate = config.evaluate
    everything = np.concatenate(confidence), np.concatenate(correct)
    intervals = {
        name: metrics.bootstrap_by_query(
            statistic, confidence, correct, evaluate.bootstrap, config.seed
        )
        for name, statistic in STATISTICS.items()
    }
    return {
        "queries": len(test),
        "responses": len(everything[0]),
        **{name: statistic(*everything) for name, statistic in STATISTICS.items()},
        "unparsed": sum(s["answer"] is None for row in test for s in row["samples"]),
        "ci95": intervals,
        "policies": {
            name: _policy_curve(config, name, test, calibration) for name in evaluate.policies
        },
    }


def arrays(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Array], list[Array]]:
    """(confidence, correctness) of the responses of each query."""
    confidence = [np.array([s["p_true"] for s in row["samples"]], dtype=np.float64) for row in rows]
    correct = [
        np.array(
            [is_correct(s["answer"], row["reference"], row["kind"]) for s in row["samples"]],
            dtype=np.float64,
        )
        for row in rows
    ]
    return confidence, correct


def _policy_curve(
    config: Config,
    name: str,
    test: Sequence[dict[str, Any]],
    calibration: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Every (threshold, budget) of a policy; `chosen` marks what the calibration queries pick."""
    family = POLICIES[name]
    evaluate = config.evaluate
    grid: Sequence[float | None] = {
        "none": (None,),
        "share": evaluate.thresholds,
        "window": evaluate.windows,
    }[family.threshold]
    best: tuple[float, float] | None = None
    chosen: float | None = None
    for threshold in grid if family.threshold != "none" and calibration else ():
        right, used = _replay_all(name, threshold, calibration)
        # The most accurate at the full budget; of equals, the one with the fewest samples.
        score = (float(right[:, -1].mean()), -float(used[:, -1].mean()))
        if best is None or score > best:
            best, chosen = score, threshold
    points = []
    for threshold in grid:
        right, used = _replay_all(name, threshold, test)
        intervals = metrics.bootstrap_means(right, evaluate.bootstrap, config.seed)
        points += [
            {
                "budget": budget,
                "threshold": threshold,
                "avg_samples": float(used[:, budget - 1].mean()),
                "accuracy": float(right[:, budget - 1].mean()),
                "ci95": [float(intervals[budget - 1, 0]), float(intervals[budget - 1, 1])],
                "chosen": threshold == chosen,
            }
            for budget in range(1, right.shape[1] + 1)
        ]
    return points


def _replay_all(
    name: str, threshold: float | None, rows: Sequence[dict[str, Any]]
) -> tuple[Array, Array]:
    """(correct, samples used), [queries, budgets] each; a query without an answer is wrong."""
    policy = POLICIES[name].make(threshold if threshold is not None else 0.0)
    right, used = [], []
    for row in rows:
        run_of = replay(policy, [(s["answer"], s["p_true"]) for s in row["samples"]])
        verdict = {
            answer: is_correct(answer, row["reference"], row["kind"])
            for answer in set(run_of.answers)
        }
        right.append([verdict[answer] for answer in run_of.answers])
        used.append(run_of.samples)
    return np.array(right, dtype=np.float64), np.array(used, dtype=np.float64)


def _saved(models: Mapping[str, Any]) -> dict[str, Any]:
    """Samples that self-consistency needs for a policy's accuracy, over the policy's own.

    At each policy's chosen threshold and the full budget; None where SC never gets there.
    """
    saved: dict[str, Any] = {}
    for model, measured in models.items():
        baseline = measured["policies"].get("self_consistency")
        if not baseline:
            continue
        curve = [(point["avg_samples"], point["accuracy"]) for point in baseline]
        saved[model] = {}
        for name, points in measured["policies"].items():
            chosen = [point for point in points if point["chosen"]]
            if chosen:
                last = chosen[-1]
                needed = metrics.samples_for(last["accuracy"], curve)
                saved[model][name] = {
                    "threshold": last["threshold"],
                    "accuracy": last["accuracy"],
                    "avg_samples": last["avg_samples"],
                    "sc_samples": needed,
                    "ratio": None if needed is None else needed / last["avg_samples"],
                }
    return saved


def _cost(
    config: Config, inputs: Mapping[str, Location], datasets: Mapping[str, Any]
) -> dict[str, Any]:
    """Tokens and seconds of each stage, and after how many queries the calibration pays.

    Break-even counts generated and computed tokens: those spent on labels and training, over
    those that early stopping on the calibrated model saves a query against SC at full budget.
    """
    manifests = {name: (place / MANIFEST).read_json() for name, place in inputs.items()}
    seconds = {name: manifest["seconds"] for name, manifest in manifests.items()}
    label, train = manifests["label"]["metrics"], manifests["train"]["metrics"]
    spent = sum(label[k] for k in ("generated_tokens", "prompt_tokens", "scored_tokens"))
    # A backward pass through frozen weights costs about another forward.
    spent += 2 * train["tokens"]
    everything = datasets.get(IN_DOMAIN) or next(iter(datasets.values()))
    evaluated = manifests["evaluate"]["metrics"]["calibrated"]
    tokens_a_sample = sum(
        evaluated[k] for k in ("generated_tokens", "prompt_tokens", "scored_tokens")
    ) / max(1, config.evaluate.num_samples * _query_count(inputs))
    stopping = everything["calibrated"]["policies"].get("early_stopping", [])
    chosen = [point["avg_samples"] for point in stopping if point["chosen"]]
    saved_a_query = (config.evaluate.num_samples - chosen[-1]) * tokens_a_sample if chosen else 0.0
    return {
        "seconds": seconds,
        "label": label,
        "train": {key: train[key] for key in ("steps", "examples", "tokens")},
        "evaluate": {model: manifests["evaluate"]["metrics"][model] for model in MODELS},
        "tokens_spent": spent,
        "tokens_a_sample": tokens_a_sample,
        "break_even_queries": round(spent / saved_a_query) if saved_a_query > 0 else None,
    }


def _query_count(inputs: Mapping[str, Location]) -> int:
    counts = (inputs["held_out"] / MANIFEST).read_json()["metrics"]["queries"]
    return counts["calibration"] + counts["test"]


def _arrays_of(rows: Sequence[dict[str, Any]], members: set[str]) -> tuple[Array, Array]:
    chosen = [row for row in rows if row["role"] == "test" and row["dataset"] in members]
    confidence, correct = arrays(chosen)
    return np.concatenate(confidence), np.concatenate(correct)


def print_table(report: Location) -> None:
    """The table of results, in the terminal."""
    from rich.console import Console
    from rich.table import Table

    results = (report / METRICS_FILE).read_json()
    table = Table(title="Held-out queries [95% interval]")
    for column in ("data set", "model", "accuracy", "ECE", "AUROC", "Brier"):
        table.add_column(column, no_wrap=True)
    for title, models in results["datasets"].items():
        for model, measured in models.items():
            heading = f"{title}, {measured['queries']}" if model == MODELS[0] else ""
            table.add_row(
                heading,
                model,
                *(show(measured[name], measured["ci95"][name]) for name in STATISTICS),
                end_section=model == MODELS[-1],
            )
    Console(width=120).print(table)


def show(value: float | None, interval: Sequence[float] | None) -> str:
    """0.712 [0.65, 0.76]; a dash where the figure is undefined."""
    if value is None or interval is None:
        return "-"
    return f"{value:.3f} [{interval[0]:.2f}, {interval[1]:.2f}]"
