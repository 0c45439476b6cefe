"""The report's first lines: does it pay, how much, and how sure that is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipelines.method.policies import POLICIES
from pipelines.method.savings import SLACK
from pipelines.stages.report.replays import STOPPING

NAMES = {"accuracy": "accuracy", "auroc": "AUROC", "brier": "Brier", "ece_debiased": "ECE"}
# WQD tells right from wrong among one query's responses, on which policies live.
_CHANGES = {"auroc": "AUROC", "wqd": "WQD", "brier": "Brier", "ece_debiased": "ECE"}
_BETTER = {"auroc": 1, "wqd": 1, "brier": -1, "ece_debiased": -1, "saved": 1}  # by its sign
FEW = 10  # queries over which a bootstrap knows too little of their spread
RECALIBRATED = {  # in sentences; in tables it is "base + " and the map's name
    "temperature": "temperature scaling",
    "platt": "Platt scaling",
    "isotonic": "isotonic regression",
    "ridge": "ridge regression",
}
SOURCE_NAMES = {
    "p_true": "P(True)",
    "mean_logprob": "mean log-probability",
    "tail_entropy": "tail entropy",
    "lowest_group": "lowest group",
}
# What recalibration does, by the side that the calibrated model's difference to it is on.
_AGAINST_LORA = {
    0: "does as well in {} (intervals hold 0)",
    1: "is worse in {}",
    -1: "is better in {}",
}

Verdict = Literal["yes", "no", "not shown", "in part"]


@dataclass(frozen=True)
class Answer:
    """A verdict is yes or no where a whole 95% interval says so, over FEW queries or more."""

    question: str
    verdict: Verdict
    told: str  # how much, and how sure

    @property
    def line(self) -> str:
        return f"{self.question} {self.verdict.capitalize()}. {self.told}"


def headline(results: Mapping[str, Any]) -> list[str]:
    """The answers as lines, and over_seeds."""
    spread = over_seeds(results)
    return [answer.line for answer in answers(results)] + ([spread] if spread else [])


def over_seeds(results: Mapping[str, Any]) -> str | None:
    """How far several training runs are apart; None of a single one."""
    if not (runs := results["training_runs"][results["groups"][0]]):
        return None
    parts = [f"saved {over_runs(saved_by(runs), percent)}"]
    parts += [
        f"{name} {over_runs(changed_by(runs, key), signed)}" for key, name in _CHANGES.items()
    ]
    return (
        f"Over {len(runs)} training runs (seeds {', '.join(runs)}), mean (least to most): "
        f"{', '.join(parts)} ({_where(results)})."
    )


def answers(results: Mapping[str, Any]) -> list[Answer]:
    """Of the first group of data sets: samples saved at one accuracy, tokens, paired differences to
    the base model, and to its best recalibration. results: of metrics.json."""
    found = [*_samples(results), *_tokens(results), *_confidences(results), *_tuning(results)]
    if results["datasets"][results["groups"][0]]["calibrated"]["queries"] < FEW:
        return [replace(one, verdict="not shown") for one in found]
    return found


def _samples(results: Mapping[str, Any]) -> Iterator[Answer]:
    saved = results["samples_saved"][results["groups"][0]]["calibrated"].get(STOPPING)
    question = "Does it save samples?"
    if saved is None:
        told = "Early stopping was not replayed: it is no policy of this run, or has no threshold."
        yield Answer(question, "not shown", told)
        return
    told = (
        f"Early stopping on the calibrated model saves {percent(saved['saved'])} "
        f"{percents(saved['ci95'])} of the samples: it reaches accuracy {saved['accuracy']:.3f} "
        f"with {saved['samples']:.1f} samples a query where self-consistency takes "
        f"{saved['sc_samples']:.1f} ({_where(results)})."
    )
    if saved["accuracy"] < saved["sc_accuracy"] - 2 * SLACK:
        told += f" It gets no further; self-consistency reaches {saved['sc_accuracy']:.3f}."
    yield Answer(question, _verdict(saved["ci95"]), told + _without(results))


def _without(results: Mapping[str, Any]) -> str:
    """What a policy that needs no confidences saves on the base model: of those that are as
    accurate as SC on the calibration queries the one of the fewest samples there, and where none is
    the most accurate. Chosen on the test queries it would be told better than it is."""
    base = results["samples_saved"][results["groups"][0]]["base"]
    free = {
        name: one["calibration"]
        for name, one in base.items()
        if not POLICIES[name].needs_confidence and one["calibration"]
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
        f"Early stopping computes {one['tokens']:,.0f} tokens a query, scores among them, where "
        f"self-consistency on the base model computes {one['sc_tokens']:,.0f}, both at accuracy "
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
    told = ", ".join(f"{name} {change(changes[key])}" for key, name in _CHANGES.items())
    yield Answer(
        "Are its confidences better?",
        _overall({key: changes[key] for key in _CHANGES}),
        f"Calibrated less base, paired: {told} ({_where(results)}).",
    )


def _tuning(results: Mapping[str, Any]) -> Iterator[Answer]:
    """Nothing where no map could be chosen, for want of calibration queries or of labels."""
    found = results["recalibrated"]
    if (name := found["best"]) is None:
        return
    less = found["datasets"][results["groups"][0]][name]["calibrated_less"]
    changes = {key: less[key] for key in _CHANGES}
    told = [f"{name} {change(changes[key])}" for key, name in _CHANGES.items()]
    if STOPPING in less["saved"]:
        changes["saved"] = less["saved"][STOPPING]
        at = f"at accuracy {changes['saved']['accuracy']:.3f}"
        told.append(f"saved by early stopping {points(changes['saved'])} {at}")
    by_side: dict[int, list[str]] = {0: [], 1: [], -1: []}
    for key, difference in changes.items():
        if difference["ci95"] is None:
            continue  # undefined: of responses that are all right, or all wrong
        by_side[_side(difference, key)].append(_CHANGES.get(key, "samples saved"))
    does = [
        said.format(_listed(by_side[side])) for side, said in _AGAINST_LORA.items() if by_side[side]
    ]
    verdict = _overall(changes)
    method = RECALIBRATED[name]
    yield Answer(
        "Did it take fine-tuning?",
        "in part" if verdict == "yes" and by_side[0] else verdict,
        f"{method[0].upper()}{method[1:]} on the base model, the best of {len(found['maps'])} such "
        f"fits to the same labels, {_listed(does)}. "
        f"Calibrated less this, paired: {', '.join(told)} ({_where(results)}).",
    )


def _overall(changes: Mapping[str, Any]) -> Verdict:
    """Yes where some are better and none is worse, each by its whole interval."""
    sides = {_side(difference, key) for key, difference in changes.items()} - {0}
    if not sides:
        return "not shown"
    return "in part" if len(sides) > 1 else "yes" if sides == {1} else "no"


def _side(difference: Mapping[str, Any], key: str) -> int:
    """1 where a whole interval is better, -1 where it is worse, 0 where it holds 0."""
    return {"yes": 1, "no": -1}.get(_verdict(difference["ci95"]), 0) * _BETTER[key]


def _verdict(interval: Sequence[float] | None) -> Verdict:
    """Whether something is over 0."""
    if interval is None or interval[0] <= 0 <= interval[1]:
        return "not shown"
    return "yes" if interval[0] > 0 else "no"


def _where(results: Mapping[str, Any]) -> str:
    title = results["groups"][0]
    return f"{named(title)}, {results['datasets'][title]['calibrated']['queries']} queries"


def _listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([part for part in (", ".join(names[:-1]), names[-1]) if part])


def named(title: str) -> str:
    return title.replace("_", " ")


def headings(results: Mapping[str, Any]) -> dict[str, str]:
    """Of the groups of data sets to list, each once: a group of one data set stands for it."""
    found: dict[tuple[str, ...], tuple[str, str]] = {}
    for title in results["groups"]:
        members = tuple(results["members"][title])
        alone = members != (title,) and len(members) == 1
        heading = f"{named(title)}: {members[0]}" if alone else named(title)
        found.setdefault(members, (title, heading))
    return dict(found.values())


def saved_by(runs: Mapping[str, Any]) -> list[float | None]:
    """What early stopping saves in each training run; None where it has no threshold."""
    found = [run["samples_saved"].get(STOPPING) for run in runs.values()]
    return [one["saved"] if one else None for one in found]


def changed_by(runs: Mapping[str, Any], metric: str) -> list[float | None]:
    """The difference to the base model in each training run; None where it is undefined."""
    return [run["differences"][metric]["value"] for run in runs.values()]


def over_runs(values: Sequence[float | None], show: Callable[[float], str]) -> str:
    """+0.154 (+0.090 to +0.210): the mean, the least and the most; in how many, where not in all; a
    dash where in none."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    some = f", in {len(known)}" if len(known) < len(values) else ""
    return f"{show(sum(known) / len(known))} ({show(min(known))} to {show(max(known))}{some})"


def signed(value: float) -> str:
    return f"{value:+.3f}"


def percent(share: float) -> str:
    return f"{share:.0%}"


def percents(interval: Sequence[float]) -> str:
    return f"[{interval[0]:.0%}, {interval[1]:.0%}]"


def points(difference: Mapping[str, Any]) -> str:
    """+25 points [-5, 77], of a hundred; a dash where it is undefined."""
    if difference["ci95"] is None:
        return "-"
    low, high = (f"{100 * end:.0f}" for end in difference["ci95"])
    return f"{100 * difference['value']:+.0f} points [{low}, {high}]"


def change(difference: Mapping[str, Any]) -> str:
    """+0.154 [0.09, 0.21]; a dash where it is undefined."""
    value, interval = difference["value"], difference["ci95"]
    if value is None or interval is None:
        return "-"
    return f"{signed(value)} [{interval[0]:.2f}, {interval[1]:.2f}]"
