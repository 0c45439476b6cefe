"""All figures of metrics.json that come from responses, by group of data sets."""

from collections.abc import Mapping
from typing import Any

from pipelines.config import IN_DOMAIN, OUT_OF_DOMAIN, Config
from pipelines.method import metrics
from pipelines.method.metrics import Array
from pipelines.method.savings import Curve, EqualAccuracy, at_equal_accuracy
from pipelines.stages.report.measure import as_json, differences, measure, points
from pipelines.stages.report.replays import SC, STOPPING, Choice, Queries, Replays
from pipelines.storage.schemas import BASE, CALIBRATED, MODELS


def groups(config: Config) -> dict[str, set[str]]:
    """The data sets of each group: in domain, out of domain, and each alone."""
    trained = {entry.title for entry in config.data.train}
    tested = list(dict.fromkeys(entry.title for entry in config.data.eval))
    together = {IN_DOMAIN: trained & set(tested), OUT_OF_DOMAIN: set(tested) - trained}
    return {name: members for name, members in together.items() if members} | {
        title: {title} for title in tested
    }


def figures(
    config: Config, replays: Mapping[str, Replays], repeats: Mapping[int, Replays]
) -> dict[str, Any]:
    """replays: of each of MODELS; repeats: of the calibrated model of each of train.seeds. Their
    test queries are the same in the same order, so that a group's bootstrap draws the same ones for
    all."""
    found: dict[str, dict[str, Any]] = {
        "datasets": {}, "differences": {}, "samples_saved": {}, "fallback": {}, "training_runs": {},
    }  # fmt: skip
    titles = groups(config)
    for title, members in titles.items():
        queries = replays[BASE].of_sets(members)
        weights = metrics.resample(len(queries), config.evaluate.bootstrap, config.seed)
        parts = {model: one.test.recorded.of(queries) for model, one in replays.items()}
        measured = {model: measure(part, weights) for model, part in parts.items()}
        found["differences"][title] = differences(*(measured[model] for model in MODELS))
        found["datasets"][title] = {
            model: as_json(part, measured[model])
            | {"policies": _policies(replays[model], queries, weights)}
            for model, part in parts.items()
        }
        for key, of_model in (("samples_saved", samples_saved), ("fallback", _fallbacks)):
            found[key][title] = {
                model: of_model(one, queries, weights) for model, one in replays.items()
            }
        first = {
            "differences": found["differences"][title],
            "samples_saved": found["samples_saved"][title][CALIBRATED],
        }
        more = {
            str(seed): {
                "differences": differences(
                    measured[BASE], measure(run.test.recorded.of(queries), weights)
                ),
                "samples_saved": samples_saved(run, queries, weights),
            }
            for seed, run in repeats.items()
        }
        # One training run has no spread.
        found["training_runs"][title] = {str(config.seed): first} | more if more else {}
    # In order; the first is what the report opens with.
    listed = {title: sorted(members) for title, members in titles.items()}
    return found | {"groups": list(titles), "members": listed}


def _policies(replays: Replays, queries: Queries, weights: Array) -> dict[str, Any]:
    found = {}
    for name, choice in replays.chosen.items():
        found[name] = [
            point
            for threshold, replayed in replays.replayed[name].items()
            for point in points(
                replays.curve(replayed, queries),
                threshold,
                threshold == choice.threshold,
                weights,
            )
        ]
    return found


def samples_saved(replays: Replays, queries: Queries, weights: Array) -> dict[str, Any]:
    """What each policy saves against SC on the same model, at one accuracy. calibration: its
    threshold on the queries that it was chosen on; null without such queries."""
    return {
        name: {"threshold": choice.threshold, "calibration": _calibrated(choice)}
        | saved(replays, name, queries, weights)
        for name, choice in replays.chosen.items()
        if name != SC and replays.final(name) is not None
    }


def _calibrated(choice: Choice) -> dict[str, Any] | None:
    if (one := choice.calibrated) is None:
        return None
    return {
        "samples": one.avg_samples,
        "accuracy": one.accuracy,
        "as_accurate": choice.as_accurate,  # as SC there
    }


def saved(replays: Replays, name: str, queries: Queries, weights: Array) -> dict[str, Any]:
    """Of a policy that has a threshold, if it needs one. Intervals: each resample is read at the
    accuracy of its own."""
    once = equal_accuracy(replays, name, queries, metrics.each_once(len(queries)))
    resampled = equal_accuracy(replays, name, queries, weights)
    sc = replays.curve(replays.replayed[SC][None], queries)
    return {
        "accuracy": float(once.accuracy[0]),
        "sc_accuracy": float(sc.right[:, -1].mean()),  # at the full budget
        "sc_samples": float(once.by_sc[0]),
        "sc_samples_ci95": metrics.interval(resampled.by_sc),
        "samples": float(once.by_policy[0]),
        "samples_ci95": metrics.interval(resampled.by_policy),
        "saved": float(once.saved[0]),
        "ci95": metrics.interval(resampled.saved),
    }


def saves_more(
    calibrated: Replays, base: Replays, name: str, queries: Queries, weights: Array
) -> dict[str, Any]:
    """How much more a policy saves on the calibrated model than on the base model by other
    confidences, both of the base model's SC; all three are read at one accuracy."""
    sc = base.curve(base.replayed[SC][None], queries)
    after, before = (_final(one, name, queries) for one in (calibrated, base))

    def read(under: Array) -> tuple[Array, Array]:
        """The accuracy, and how much more is saved there; a figure a resample."""
        tuned = at_equal_accuracy(sc, after, under, beside=before)
        other = at_equal_accuracy(sc, before, under, beside=after)
        return tuned.accuracy, tuned.saved - other.saved

    (accuracy,), (value,) = read(metrics.each_once(len(queries)))
    return {
        "accuracy": float(accuracy),
        "value": float(value),
        "ci95": metrics.interval(read(weights)[1]),
    }


def equal_accuracy(replays: Replays, name: str, queries: Queries, weights: Array) -> EqualAccuracy:
    sc = replays.curve(replays.replayed[SC][None], queries)
    return at_equal_accuracy(sc, _final(replays, name, queries), weights)


def _final(replays: Replays, name: str, queries: Queries) -> Curve:
    final = replays.final(name)
    assert final is not None, f"{name} has no threshold"
    return replays.curve(final, queries)


def _fallbacks(replays: Replays, queries: Queries, weights: Array) -> dict[str, Any]:
    """Early stopping at its chosen threshold and the full budget, with each fallback."""
    return {
        name: points(
            replays.curve(replayed, queries), replays.chosen[STOPPING].threshold, True, weights
        )[-1]
        for name, replayed in replays.fallbacks.items()
    }
