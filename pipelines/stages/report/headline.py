"""The report's first lines: does it pay, how much, and how sure that is."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pipelines.method.policies import NAMED
from pipelines.method.savings import SLACK
from pipelines.stages.report.replays import STOPPING
from pipelines.stages.report.tuning import tuning
from pipelines.stages.report.verdicts import FEW, Answer, Verdict, over_zero, overall, side
from pipelines.stages.report.wording import (
    CHANGES,
    change,
    changed_by,
    named,
    over_runs,
    percent,
    percents,
    saved_by,
    signed,
    spent,
    where,
)


def headline(results: Mapping[str, Any]) -> list[str]:
    """The answers as lines, and over_seeds."""
    spread = over_seeds(results)
    return [answer.line for answer in answers(results)] + ([spread] if spread else [])


def over_seeds(results: Mapping[str, Any]) -> str | None:
    """How far several training runs are apart; None of a single one."""
    if not (runs := results["training_runs"][results["groups"][0]]):
        return None
    parts = [f"saved {over_runs(saved_by(runs), percent)}"]
    parts += [f"{name} {over_runs(changed_by(runs, key), signed)}" for key, name in CHANGES.items()]
    return (
        f"Over {len(runs)} training runs (seeds {', '.join(runs)}), mean (least to most): "
        f"{', '.join(parts)} ({where(results)})."
    )


def answers(results: Mapping[str, Any]) -> list[Answer]:
    """Of the first group of data sets: samples saved at one accuracy, tokens, paired differences to
    the base model, and to what it knows without fine-tuning. results: of metrics.json."""
    found = [*_samples(results), *_tokens(results), *_confidences(results), *tuning(results)]
    if results["datasets"][results["groups"][0]]["calibrated"]["queries"] < FEW:
        return [replace(one, verdict="not shown") for one in found]
    return found


def _samples(results: Mapping[str, Any]) -> Iterator[Answer]:
    saved = results["samples_saved"][results["groups"][0]]["calibrated"].get(STOPPING)
    question = "Does it save samples?"
    if saved is None:
        told = (
            "Early stopping by P(True) was not replayed: it is no policy of this run, or has no "
            "threshold."
        )
        yield Answer(question, "not shown", told)
        return
    told = (
        f"Early stopping on the calibrated model saves {percent(saved['saved'])} "
        f"{percents(saved['ci95'])} of the samples: it reaches accuracy {saved['accuracy']:.3f} "
        f"with {spent(saved['samples'], saved['samples_ci95'], 1)} samples a query where "
        f"self-consistency takes {spent(saved['sc_samples'], saved['sc_samples_ci95'], 1)} "
        f"({where(results)})."
    )
    if saved["accuracy"] < saved["sc_accuracy"] - 2 * SLACK:
        told += f" It gets no further; self-consistency reaches {saved['sc_accuracy']:.3f}."
    yield Answer(question, over_zero(saved["ci95"]), told + _without(results))


def _without(results: Mapping[str, Any]) -> str:
    """What a policy that needs no confidences saves on the base model: of those that are as
    accurate as SC on the calibration queries the one of the fewest samples there, and where none is
    the most accurate. Chosen on the test queries it would be told better than it is."""
    base = results["samples_saved"][results["groups"][0]]["base"]
    free = {
        name: one["calibration"]
        for name, one in base.items()
        if not NAMED[name].needs_confidence and one["calibration"]
    }
    if not free:
        return ""
    as_accurate = [(at["samples"], name) for name, at in free.items() if at["as_accurate"]]
    others = [(-at["accuracy"], at["samples"], name) for name, at in free.items()]
    *_, name = min(as_accurate or others)
    one = base[name]
    told = (
        f" Without confidences and fine-tuning, {named(name)} saves {percent(one['saved'])} "
        f"{percents(one['ci95'])} on the base model"
    )
    if not as_accurate:
        told += (
            f", up to accuracy {one['accuracy']:.3f}; self-consistency reaches "
            f"{one['sc_accuracy']:.3f}"
        )
    return f"{told}."


def _tokens(results: Mapping[str, Any]) -> Iterator[Answer]:
    """Nothing where early stopping has no threshold: the first answer says so."""
    cost = results["cost"]
    if (one := cost["policies"].get(STOPPING)) is None:
        return
    soonest, latest = one["ci95"]  # None for never
    verdict: Verdict = "not shown"
    if latest is not None:
        verdict = "yes"
    elif soonest is None:
        verdict = "no"
    yield Answer(
        "Does it pay in tokens?",
        verdict,
        f"Early stopping computes {spent(one['tokens'], one['tokens_ci95'], 0)} tokens a query, "
        "scores among them, where self-consistency on the base model computes "
        f"{spent(one['sc_tokens'], one['sc_tokens_ci95'], 0)}, both at accuracy "
        f"{one['accuracy']:.3f}. What calibration took, {cost['tokens_spent']:,.0f} tokens, is "
        f"{_repaid(one['break_even_queries'], soonest, latest)}.",
    )


def _repaid(queries: int | None, soonest: int | None, latest: int | None) -> str:
    ends = "[never]"
    if soonest is not None:
        ends = f"[{soonest:,} to {'never' if latest is None else f'{latest:,}'}]"
    return f"never repaid {ends}" if queries is None else f"repaid after {queries:,} queries {ends}"


def _confidences(results: Mapping[str, Any]) -> Iterator[Answer]:
    changes = results["differences"][results["groups"][0]]
    told = ", ".join(f"{name} {change(changes[key])}" for key, name in CHANGES.items())
    yield Answer(
        "Are its confidences better?",
        overall(side(changes[key], key) for key in CHANGES),
        f"Calibrated less base, paired: {told} ({where(results)}).",
    )
