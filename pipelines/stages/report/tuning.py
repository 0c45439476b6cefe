"""The report's fourth answer: did it take fine-tuning, or does something else do as well."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.stages.report.replays import STOPPING
from pipelines.stages.report.verdicts import Answer, overall, side
from pipelines.stages.report.wording import CHANGES, RECALIBRATED, change, listed, points, where

# What recalibration does, by the side that the calibrated model's difference to it is on.
_AGAINST_LORA = {
    0: "does as well in {} (intervals hold 0)",
    1: "is worse in {}",
    -1: "is better in {}",
}


def tuning(results: Mapping[str, Any]) -> Iterator[Answer]:
    """Nothing where no map could be chosen, for want of calibration queries or of labels."""
    found = results["recalibrated"]
    if (name := found["best"]) is None:
        return
    less = found["datasets"][results["groups"][0]][name]["calibrated_less"]
    changes = {key: less[key] for key in CHANGES}
    told = [f"{name} {change(changes[key])}" for key, name in CHANGES.items()]
    if STOPPING in less["saved"]:
        changes["saved"] = less["saved"][STOPPING]
        at = f"at accuracy {changes['saved']['accuracy']:.3f}"
        told.append(f"saved by early stopping {points(changes['saved'])} {at}")
    by_side: dict[int, list[str]] = {0: [], 1: [], -1: []}
    for key, difference in changes.items():
        if difference["ci95"] is None:
            continue  # undefined: of responses that are all right, or all wrong
        by_side[side(difference, key)].append(CHANGES.get(key, "samples saved"))
    does = [
        said.format(listed(by_side[side])) for side, said in _AGAINST_LORA.items() if by_side[side]
    ]
    verdict = overall(changes)
    method = RECALIBRATED[name]
    yield Answer(
        "Did it take fine-tuning?",
        "in part" if verdict == "yes" and by_side[0] else verdict,
        f"{method[0].upper()}{method[1:]} on the base model, the best of {len(found['maps'])} such "
        f"fits to the same labels, {listed(does)}. "
        f"Calibrated less this, paired: {', '.join(told)} ({where(results)}).",
    )
