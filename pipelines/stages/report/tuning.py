"""The report's fourth answer: did it take fine-tuning, or does the base model know as well.

Rivals are the base model's own confidences without fine-tuning: the best recalibration of its
P(True) and, where sources of confidence were compared, the best of those.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.method.savings import SLACK
from pipelines.stages.report.replays import STOPPING
from pipelines.stages.report.verdicts import Answer, overall, side
from pipelines.stages.report.wording import (
    CHANGES,
    RECALIBRATED,
    SOURCE_NAMES,
    change,
    listed,
    points,
    where,
)

# What a rival does, by the side that the calibrated model's difference to it is on.
_AGAINST_LORA = {
    0: "does as well in {} (intervals hold 0)",
    1: "is worse in {}",
    -1: "is better in {}",
}


@dataclass(frozen=True)
class _Rival:
    """name: as its sentence begins. less: its `calibrated_less` in metrics.json, with those of
    CHANGES that it has, and `saved`. beside: what is told after these."""

    name: str
    less: Mapping[str, Any]
    beside: str = ""

    @property
    def changes(self) -> dict[str, Any]:
        found = {key: self.less[key] for key in CHANGES if key in self.less}
        saved = self.less["saved"].get(STOPPING)
        return found | {"saved": saved} if saved else found

    @property
    def sides(self) -> dict[str, int]:
        """Of what is defined: nothing is of responses that are all right, or all wrong."""
        changes = self.changes.items()
        return {key: side(one, key) for key, one in changes if one["ci95"] is not None}

    def told(self, of: str) -> str:
        by_side: dict[int, list[str]] = {}
        for key, on in self.sides.items():
            by_side.setdefault(on, []).append(CHANGES.get(key, "samples saved"))
        does = [
            said.format(listed(by_side[on])) for on, said in _AGAINST_LORA.items() if on in by_side
        ]
        figures = [
            f"{CHANGES[key]} {change(one)}" for key, one in self.changes.items() if key in CHANGES
        ]
        if saved := self.changes.get("saved"):
            at = f"at accuracy {saved['accuracy']:.3f}"
            figures.append(f"saved by early stopping {points(saved)} {at}")
        return (
            f"{self.name[0].upper()}{self.name[1:]} {listed(does)}. "
            f"Calibrated less this, paired: {', '.join(figures)} ({of}).{self.beside}"
        )


def tuning(results: Mapping[str, Any]) -> Iterator[Answer]:
    """A figure took fine-tuning where the calibrated model is better in it than every rival.
    Nothing without a rival: no map could be chosen, for want of calibration queries or of labels,
    and no source was compared."""
    rivals = [one for one in (*_recalibration(results), *_sources(results)) if one.sides]
    if not rivals:
        return
    sides: dict[str, int] = {}
    for rival in rivals:
        for key, on in rival.sides.items():
            sides[key] = min(on, sides.get(key, on))
    verdict = overall(sides.values())
    yield Answer(
        "Did it take fine-tuning?",
        "in part" if verdict == "yes" and 0 in sides.values() else verdict,
        " ".join(rival.told(where(results)) for rival in rivals),
    )


def _recalibration(results: Mapping[str, Any]) -> Iterator[_Rival]:
    found = results["recalibrated"]
    if (best := found["best"]) is not None:
        yield _Rival(
            f"{RECALIBRATED[best]} on the base model, the best of {len(found['maps'])} such fits "
            "to the same labels,",
            found["datasets"][results["groups"][0]][best]["calibrated_less"],
        )


def _sources(results: Mapping[str, Any]) -> Iterator[_Rival]:
    """The best on the calibration queries; each where these cannot tell, for the best on the test
    queries would be told better than it is."""
    if not (found := results.get("sources")):  # a report of before has none
        return
    of = found["datasets"][results["groups"][0]]["base"]
    compared = [name for name in SOURCE_NAMES if "calibrated_less" in of.get(name, {})]
    best = found["best"]
    for name in [best] if best else compared:
        chosen = ""
        if best and len(compared) > 1:
            chosen = f", the best of {len(compared)} such sources on the calibration queries,"
        told = f"{SOURCE_NAMES[name]} of the base model's own tokens{chosen}"
        yield _Rival(told, of[name]["calibrated_less"], _reached(results, of[name]))


def _reached(results: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    """Told where one gets less far than the other: what is saved is read at the lower accuracy."""
    tuned = results["samples_saved"][results["groups"][0]]["calibrated"].get(STOPPING)
    own = source["samples_saved"].get(STOPPING)
    if not tuned or not own or abs(own["accuracy"] - tuned["accuracy"]) <= 2 * SLACK:
        return ""
    return (
        f" Early stopping by it reaches accuracy {own['accuracy']:.3f}, on the calibrated model "
        f"{tuned['accuracy']:.3f}."
    )
