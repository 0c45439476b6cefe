"""Every policy replayed from a model's responses, at the threshold that calibration queries chose.

A test query's responses are replayed once, whatever groups of data sets it is listed in.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.config import Config
from pipelines.method import thresholds
from pipelines.method.fitting import fit
from pipelines.method.guarantees import Evidence, grid
from pipelines.method.policies import FALLBACKS, NAMED
from pipelines.method.recalibration import Line, Map
from pipelines.method.replay import Recorded, Replayed, replay
from pipelines.method.savings import Curve
from pipelines.method.trials import evidence
from pipelines.stages.report.responses import Responses

SC, STOPPING = "self_consistency", "early_stopping"

Queries = NDArray[np.intp]  # places of test queries


@dataclass(frozen=True)
class Choice:
    """A policy's thresholds on the calibration queries. threshold: the chosen one; None where there
    are no such queries, and for a policy without one. as_accurate: whether it is as accurate there
    as SC; where none is, it is the most accurate. fitted: the policy's parameters beside."""

    threshold: float | None = None
    curve: Sequence[thresholds.Candidate] = ()
    fitted: Mapping[str, float] = field(default_factory=dict)
    as_accurate: bool = False

    @property
    def calibrated(self) -> thresholds.Candidate | None:
        """The chosen threshold on the calibration queries; None without one."""
        return next((one for one in self.curve if one.threshold == self.threshold), None)


@dataclass(frozen=True)
class Replays:
    """One model's. chosen: of each policy of the config. replayed: by policy, SC among them, and
    threshold: the chosen one, or all that there may be. fallbacks: of early stopping, if chosen.
    evidence: of each policy that a threshold can be promised of; none of a recalibrated model.
    lines: to probabilities, by source of confidence that a policy names beside P(True)."""

    test: Responses
    datasets: NDArray[np.str_]  # of each test query
    calibration: Responses | None  # to the calibration queries; None where there are none
    chosen: Mapping[str, Choice]
    replayed: Mapping[str, Mapping[float | None, Replayed]]
    fallbacks: Mapping[str, Replayed]
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    lines: Mapping[str, Line] = field(default_factory=dict)

    @staticmethod
    def of(config: Config, rows: Sequence[Mapping[str, Any]]) -> "Replays":
        """rows: of schemas.LABELS, in the order of their ids."""
        tests = [row for row in rows if row["role"] == "eval"]
        calibrating = [row for row in rows if row["role"] == "calibration"]
        made = Replays._on(
            config,
            Responses.of(tests),
            np.array([row["dataset"] for row in tests]),
            Responses.of(calibrating) if calibrating else None,
        )
        if made.calibration is None:
            return made
        return replace(made, evidence=_evidence(config, made.calibration.recorded))

    def recalibrated(self, config: Config, by: Map) -> "Replays":
        """Of the same responses with other confidences, on which thresholds are chosen anew."""
        calibration = self.calibration and self.calibration.recalibrated(by)
        return Replays._on(config, self.test.recalibrated(by), self.datasets, calibration)

    @staticmethod
    def _on(
        config: Config,
        test: Responses,
        datasets: NDArray[np.str_],
        calibration: Responses | None,
    ) -> "Replays":
        chosen = dict.fromkeys(config.evaluate.policies, Choice())
        lines: dict[str, Line] = {}
        if calibration:
            sources = {NAMED[name].source for name in chosen if NAMED[name].own_tokens}
            lines = {source: calibration.line_of(source) for source in sorted(sources)}
            chosen = _choose(config, calibration.by_source(lines))
        recorded = test.by_source(lines)
        wanted = {
            name: [choice.threshold]
            if choice.threshold is not None
            else _candidates(config, name, recorded)
            for name, choice in ({SC: Choice()} | chosen).items()
        }
        stops_at = chosen[STOPPING].threshold if STOPPING in chosen else None
        fallbacks = FALLBACKS if stops_at is not None else {}
        each = _replay(
            config,
            recorded,
            [(name, one) for name, several in wanted.items() for one in several]
            + [(name, stops_at) for name in fallbacks.values()],
            {name: choice.fitted for name, choice in chosen.items()},
        )
        return Replays(
            test,
            datasets,
            calibration,
            chosen,
            {name: {one: each[name, one] for one in several} for name, several in wanted.items()},
            {kind: each[name, stops_at] for kind, name in fallbacks.items()},
            lines=lines,
        )

    def of_sets(self, datasets: set[str]) -> Queries:
        return np.flatnonzero(np.isin(self.datasets, list(datasets)))

    def final(self, name: str) -> Replayed | None:
        """A policy at its threshold, if it has one; None where none could be chosen."""
        threshold = self.chosen[name].threshold
        if threshold is None and NAMED[name].threshold != "none":
            return None
        return self.replayed[name][threshold]

    def line(self, name: str) -> Line | None:
        """Of a policy by the confidences of tokens."""
        return self.lines.get(NAMED[name].source)

    def curve(self, replayed: Replayed, queries: Queries) -> Curve:
        """Of some queries, over what is spent in samples."""
        return Curve(replayed.right[queries], replayed.samples[queries])

    def token_curve(self, name: str, replayed: Replayed, queries: Queries) -> Curve:
        """Of some queries, over what policy `name` spends in computed tokens."""
        spent = self.test.prices.spent(replayed.samples, NAMED[name].scored)
        return Curve(replayed.right[queries], spent[queries])


def with_confidence(config: Config) -> Config:
    """With the policies alone that need P(True), in whose place others may stand."""
    wanted = [name for name in config.evaluate.policies if NAMED[name].scored]
    own = config.evaluate.model_copy(update={"policies": tuple(wanted)})
    return config.model_copy(update={"evaluate": own})


Pair = tuple[str, float | None]  # a policy and its threshold


def _replay(
    config: Config,
    recorded: Mapping[str, Recorded],
    pairs: Iterable[Pair],
    fits: Mapping[str, Mapping[str, float]],
) -> dict[Pair, Replayed]:
    """All of a source at once, for they share most of the work. recorded: by source of confidence.
    fits: parameters, by policy that has any."""
    found: dict[Pair, Replayed] = {}
    several = list(dict.fromkeys(pairs))
    for source, own in recorded.items():
        wanted = [(name, threshold) for name, threshold in several if NAMED[name].source == source]
        policies = [
            NAMED[name].make(threshold or 0.0, **fits.get(name, {})) for name, threshold in wanted
        ]
        replayed = replay(policies, own, config.evaluate.orders, config.seed)
        found |= zip(wanted, replayed, strict=True)
    return found


def _choose(config: Config, recorded: Mapping[str, Recorded]) -> dict[str, Choice]:
    """recorded: of the calibration queries, by source of confidence."""
    evaluate = config.evaluate
    fits = {
        name: fit(name, recorded[NAMED[name].source], evaluate.orders, config.seed)
        for name in evaluate.policies
    }
    wanted = {name: _candidates(config, name, recorded) for name in evaluate.policies}
    pairs = [(name, one) for name, several in wanted.items() for one in several]
    each = _replay(config, recorded, [(SC, None), *pairs], fits)
    chosen = {}
    for name, several in wanted.items():
        known = [one for one in several if one is not None]
        replayed = [each[name, one] for one in known]
        if not known:
            chosen[name] = Choice(fitted=fits[name])
            continue
        threshold, as_accurate = thresholds.choose(known, replayed, each[SC, None])
        curve = thresholds.measured(known, replayed)
        chosen[name] = Choice(threshold, curve, fits[name], as_accurate)
    return chosen


def _evidence(config: Config, recorded: Recorded) -> dict[str, Evidence]:
    """By policy. None for one without a threshold, and for one with fitted parameters, or with
    confidences by a fitted map: these are of the queries that it would be tested on, so it is
    another policy for each draw of them. None too for one that has no rule in
    method/replay/rules.py. recorded: of the calibration queries."""
    found = {}
    for name in config.evaluate.policies:
        family, tried = NAMED[name], grid(name, config.evaluate.windows)
        if family.fitted or family.own_tokens or not tried:
            continue
        if (shown := evidence([(one, family.make(one)) for one in tried], recorded)) is not None:
            found[name] = shown
    return found


def _candidates(
    config: Config, name: str, recorded: Mapping[str, Recorded]
) -> Sequence[float | None]:
    evaluate, family = config.evaluate, NAMED[name]
    if evaluate.thresholds and family.threshold in ("confidence", "share"):
        return evaluate.thresholds
    return thresholds.candidates(name, recorded[family.source], evaluate.windows) or [None]
