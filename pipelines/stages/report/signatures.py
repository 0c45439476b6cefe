"""Signatures of failure: rules over the figures of metrics.json, and what to try where one holds.

A rule wants evidence: of a difference the whole interval, and FEW queries or more where it says
more than what these alone were. So that none holds does not say that nothing is wrong. To add one:
a function, a line in RULES, its test.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipelines.config import GROUPS, OUT_OF_DOMAIN
from pipelines.method.savings import SLACK
from pipelines.stages.report.promises import KINDS
from pipelines.stages.report.verdicts import FEW
from pipelines.stages.report.wording import NAMES, change, named, percent
from pipelines.storage.schemas import MODELS

HIGH_ECE, SURELY = 0.10, 0.05  # of ECE out of domain: the figure, and its interval's lower end
WRONG = 0.25  # of the queries whose samples agree
COLLAPSED = 0.02  # between the quantiles of 90% of all confidences
UNPARSED, CUT = 1 / 3, 1 / 2  # of responses


@dataclass(frozen=True)
class Signature:
    """figures: those that the rule saw. advice: what to try."""

    name: str
    says: str
    figures: Mapping[str, float]
    advice: str


Results = Mapping[str, Any]
Rule = Callable[[Results], Iterator[Signature]]


def signatures(results: Results) -> list[Signature]:
    """Those that hold. results: of metrics.json."""
    return [one for rule in RULES for one in rule(results)]


def accuracy_falls(results: Results) -> Iterator[Signature]:
    """While the confidences get better."""

    def of(title: str) -> Iterator[Signature]:
        changes = results["differences"][title]
        better = [key for key in ("brier", "ece_debiased") if _below_zero(changes[key])]
        if _below_zero(changes["accuracy"]) and better and _enough(results, title):
            told = ", ".join(f"{NAMES[key]} {change(changes[key])}" for key in better)
            yield Signature(
                "accuracy falls",
                f"{named(title)}: the calibrated model answers worse, accuracy "
                f"{change(changes['accuracy'])}, while its confidences got better: {told}.",
                {key: changes[key]["value"] for key in ("accuracy", *better)},
                "Train less (train.learning_rate, examples.total), or on more and surer generation "
                "examples (examples.generation_ratio, examples.eta, train.omega).",
            )

    return _alone_or_together(results, of)


def ece_out_of_domain(results: Results) -> Iterator[Signature]:
    """Where it is high after calibration, and surely not small."""
    measured = results["datasets"].get(OUT_OF_DOMAIN, {}).get("calibrated")
    if measured is None or not _enough(results, OUT_OF_DOMAIN):
        return
    ece, (low, high) = measured["ece_debiased"], measured["ci95"]["ece_debiased"]
    if ece >= HIGH_ECE and low >= SURELY:
        yield Signature(
            "ECE out of domain",
            f"Out of domain the calibrated model's ECE is {ece:.3f} [{low:.2f}, {high:.2f}].",
            {"ece": ece, "low": low},
            "Train on queries like those, without references (data.train); until then choose "
            "thresholds on calibration queries of that domain.",
        )


def stopping_below_best(results: Results) -> Iterator[Signature]:
    """Where the first sure sample is worse than the surest of so many, which cost more, by more
    than what savings are read at."""

    def of(title: str) -> Iterator[Signature]:
        worse = [
            one
            for one in results["health"]["datasets"][title]["early_stopping_less_best_of_n"]
            if one["ci95"] is not None and one["ci95"][1] < -SLACK
        ]
        if worse and _enough(results, title):
            most = min(worse, key=lambda one: one["value"])
            yield Signature(
                "early stopping below best-of-N",
                f"{named(title)}: under a budget of {most['budget']} samples early stopping "
                f"answers worse than the most confident of them, accuracy {change(most)}.",
                {"budget": most["budget"], "difference": most["value"]},
                "Stop later: a higher threshold, or more calibration queries to choose it on; "
                "best_of_n or asc_conf where budgets are that small.",
            )

    return _alone_or_together(results, of)


def consensus_wrong(results: Results) -> Iterator[Signature]:
    """Where samples agree, and are wrong together."""

    def of(title: str) -> Iterator[Signature]:
        seen = results["health"]["datasets"][title]["consensus"]
        agreed, wrong = seen["queries"], seen["wrong"]
        if agreed >= FEW and wrong >= WRONG * agreed:
            yield Signature(
                "consensus is wrong",
                f"{named(title)}: on {agreed} queries three quarters of the samples agree, and on "
                f"{wrong} of these ({percent(wrong / agreed)}) the answer is wrong.",
                {"queries": agreed, "wrong": wrong},
                "SSC labels such answers as right, and no policy that votes or trusts it stops at "
                "others. Look at these queries: references, or how answers are read, may be at "
                "fault; else take a stronger model or leave such queries out.",
            )

    return _alone_or_together(results, of)


def confidence_collapsed(results: Results) -> Iterator[Signature]:
    """Where all responses to a data set are as sure as each other, whatever other sets' are."""

    def of(model: str, title: str) -> Iterator[Signature]:
        spread = results["health"]["datasets"][title]["spread"][model]
        if spread <= COLLAPSED and _enough(results, title):
            yield Signature(
                "confidence collapsed",
                f"{named(title)}: nine in ten confidences of the {model} model lie within "
                f"{spread:.3f}.",
                {"spread": spread},
                "Labels of a base model like this are plain votes: look at the mass of Yes and No, "
                "and at confidence.question. A calibrated one has learned the mean: train longer "
                "or at a higher train.learning_rate, and look at the spread of the labels.",
            )

    for model in MODELS:
        yield from _alone_or_together(results, partial(of, model))


def unreadable(results: Results) -> Iterator[Signature]:
    """Where too many responses have no answer, or were cut; of the model with the most of both."""
    for title in _alone(results):
        shares = {
            model: (
                measured["unparsed"] / measured["responses"],
                results["health"]["datasets"][title]["cut"][model] / measured["responses"],
            )
            for model, measured in results["datasets"][title].items()
        }
        model = max(shares, key=lambda one: sum(shares[one]))
        unparsed, cut = shares[model]
        told = [
            f"{percent(share)} of the responses {what}"
            for share, most, what in (
                (unparsed, UNPARSED, "have no answer"),
                (cut, CUT, "were cut at max_tokens"),
            )
            if share >= most
        ]
        if told:
            yield Signature(
                "unparsed or cut",
                f"{named(title)}, {model} model: {' and '.join(told)}.",
                {"unparsed": unparsed, "cut": cut},
                "More sampling.max_tokens (and evaluate.sampling's), a system prompt that asks "
                "for short answers, or another kind of answer (data.*.kind).",
            )


def ssc_no_better(results: Results) -> Iterator[Signature]:
    """Where what is learned from is not shown to be better than what is there."""
    title = results["groups"][0]
    ssc = results["health"]["datasets"][title]["ssc"]
    interval = ssc["difference"]["ci95"]
    if interval is not None and interval[0] <= 0 and _enough(results, title):
        yield Signature(
            "SSC no better than P(True)",
            f"{named(title)}: SSC, of the base model's own responses, is not shown to tell right "
            f"from wrong better than its P(True): AUROC {ssc['auroc']:.3f} against "
            f"{ssc['p_true_auroc']:.3f}, {change(ssc['difference'])}.",
            {"ssc": ssc["auroc"], "p_true": ssc["p_true_auroc"]},
            "There is little to learn from such labels: more samples a query "
            "(sampling.num_samples), queries that are neither too hard nor too easy, or a stronger "
            "model.",
        )


def nothing_promised(results: Results) -> Iterator[Signature]:
    """Where no threshold can be promised anything (promises.py): for want of calibration queries
    or, where FEW or more show it, whatever their number."""
    n = results["health"]["calibration_queries"]
    every = [
        (name, one)
        for name, several in results["promises"]["calibrated"].items()
        for one in several
    ]
    if any(one["threshold"] is not None for _, one in every) or (n and not every):
        return  # without a policy that stops at a threshold there is nothing to promise
    says = f"With {n} calibration queries nothing can be promised of any threshold"
    if known := [(one["queries"], policy, one) for policy, one in every if one["queries"]]:
        queries, policy, one = min(known, key=lambda each: each[:2])
        advice = (
            f"More of them (data.calibration): about {queries:,} would do for "
            f"{_promised(policy, one)}, if the shares stay as they are."
        )
        yield Signature("few calibration queries", f"{says}.", {"queries": n}, advice)
    elif n < FEW:
        advice = "More of them (data.calibration)."
        yield Signature("few calibration queries", f"{says}.", {"queries": n}, advice)
    else:
        policy, one = max(every, key=lambda each: each[1]["limit"])  # the first of the largest
        yield Signature(
            "nothing can be promised",
            f"{says}, nor with more if the shares stay as they are: for {_promised(policy, one)}, "
            f"{one['why']}.",
            {"queries": n, "limit": one["limit"]},
            "Confidences that tell right from wrong better, a stronger model, or a larger limit in "
            "a request's scaling.target.",
        )


def _promised(policy: str, one: Mapping[str, Any]) -> str:
    return f"{named(policy)} with at most {percent(one['limit'])} {KINDS[one['kind']].told}"


RULES: tuple[Rule, ...] = (
    accuracy_falls,
    ece_out_of_domain,
    stopping_below_best,
    consensus_wrong,
    confidence_collapsed,
    unreadable,
    ssc_no_better,
    nothing_promised,
)


def _enough(results: Results, title: str) -> bool:
    """Whether a group's queries are enough to tell more than themselves."""
    return bool(results["datasets"][title]["calibrated"]["queries"] >= FEW)


def _below_zero(difference: Mapping[str, Any]) -> bool:
    return difference["ci95"] is not None and difference["ci95"][1] < 0


def _alone(results: Results) -> list[str]:
    """The data sets: their figures together would tell the same once more."""
    return [title for title in results["groups"] if title not in GROUPS]


def _alone_or_together(
    results: Results, of: Callable[[str], Iterator[Signature]]
) -> Iterator[Signature]:
    """Of each data set; and of a group where it tells of none of its own, for together they may
    show what none of them shows alone."""
    alone = {title: list(of(title)) for title in _alone(results)}
    for title in results["groups"]:
        if title in alone:
            yield from alone[title]
        elif not any(alone[one] for one in results["members"][title]):
            yield from of(title)
