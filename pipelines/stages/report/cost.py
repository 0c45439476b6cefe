"""What the workflow cost, what early stopping saves, and after how many queries that pays."""

from collections.abc import Mapping
from typing import Any

from pipelines.config import Config
from pipelines.method import metrics
from pipelines.storage.location import MANIFEST, Location
from pipelines.storage.schemas import MODELS

IN_DOMAIN, OUT_OF_DOMAIN = "in_domain", "out_of_domain"


def samples_saved(models: Mapping[str, Any]) -> dict[str, Any]:
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


def cost(
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
    return counts["calibration"] + counts["eval"]
