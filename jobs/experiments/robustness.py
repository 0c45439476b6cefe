"""Whether confidences hold where questions shift: in format, words, domain and difficulty.

The test queries of the data sets that were trained on are put to both models in other shapes.
`format`: the question in a frame of its own; `paraphrase`: the built-in sets' questions in other
words; `difficulty`: sums of three digits in place of `arithmetic`'s. All else of a row is its own
still, a system prompt and choices too. `domain` are the test sets that were not trained on, as they
were answered. Data sets that are not built in have `format` and `domain` alone.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from jobs.experiments import calibration, elsewhere, reading, recorded
from jobs.experiments.reading import Reading
from pipelines import pipeline
from pipelines.config import IN_DOMAIN, OUT_OF_DOMAIN, Config
from pipelines.method.answers.choice import LETTERS
from pipelines.running.dag import Result, Step, reads
from pipelines.stages import queries
from pipelines.stages.report.figures import groups
from pipelines.storage.location import Location
from pipelines.storage.schemas import BASE, CALIBRATED

_CAPITAL = re.compile(r"What is the capital of (.*)\?")
_SUM = re.compile(r"What is (\d+) ([-+*/]) (\d+)\? Answer with just the number\.")
_WORDS = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}

Asked = tuple[str, str]  # a question, and its reference
Keys = tuple[tuple[str, str], ...]  # of an entry of data, with their values
_VERSION = 2  # of the shifted rows: they keep their system prompt and choices
_READING = 3  # WQD beside AUROC


def framed(question: str, reference: str) -> Asked | None:
    return f"### Question ###\n{question}\n### End of question ###", reference


def paraphrased(question: str, reference: str) -> Asked | None:
    """None of a question that has no other words here."""
    if found := _CAPITAL.fullmatch(question):
        return f"Which city is it that {found[1]} has as its capital?", reference
    if found := _SUM.fullmatch(question):
        first, sign, second = found.groups()
        return f"Work out {first} {_WORDS[sign]} {second} and reply with the result.", reference
    return None


def harder(question: str, reference: str) -> Asked | None:
    """A sum or difference of three digits in place of one of `arithmetic`'s, by its operands."""
    if not (found := _SUM.fullmatch(question)):
        return None
    first, second = (100 + (37 * int(found[place]) + 211) % 900 for place in (1, 3))
    if found[2] in "+*":
        return f"What is {first} + {second}? Answer with just the number.", str(first + second)
    most, least = max(first, second), min(first, second)
    return f"What is {most} - {least}? Answer with just the number.", str(most - least)


SHIFTS: Mapping[str, Callable[[str, str], Asked | None]] = {
    "format": framed,
    "paraphrase": paraphrased,
    "difficulty": harder,
}


def steps(config: Config) -> list[Step]:
    """ValueError where no data set that is tested was trained on."""
    if not _trained(config):
        raise ValueError(
            "config: no data set of data.eval is one of data.train, and it is their questions that "
            "this experiment shifts; name one in both, or see `calibration`"
        )
    held_out = Step(
        "held_out_shifted",
        partial(_hold_out, config),
        {"sets": sorted(_trained(config)), "shifts": _asked(), "version": _VERSION},
        reads("held_out"),
        queries.VERSION,
    )
    return [
        *pipeline.steps(config, "evaluate"),
        held_out,
        elsewhere.answered(config, "shifted"),
        reading.step(
            "robustness",
            partial(read, config),
            recorded.spec(config),
            ("held_out_shifted", "evaluate", "evaluate_shifted"),
            version=_READING,
        ),
    ]


def _asked() -> dict[str, list[str | None]]:
    """How each shift asks a few questions: what decides how it asks all."""
    some = ["What is the capital of Peru?"]
    some += [f"What is 12 {sign} 4? Answer with just the number." for sign in _WORDS]
    return {
        name: [made and made[0] for made in (shift(one, "") for one in some)]
        for name, shift in SHIFTS.items()
    }


def _trained(config: Config) -> set[str]:
    """Data sets that were trained on, of those that are tested."""
    return groups(config).get(IN_DOMAIN, set())


def title_of(dataset: str, shift: str) -> str:
    return f"{dataset} {shift}"


def shifted(rows: list[dict[str, Any]], sets: set[str]) -> dict[tuple[str, str], list[Any]]:
    """Rows of schemas.QUERIES in other shapes, each once, by data set and shift."""
    found: dict[tuple[str, str], list[Any]] = {}
    seen = {(row["system"], row["question"]) for row in rows}
    for row in rows:
        for name, shift in SHIFTS.items():
            made = shift(row["question"], row["reference"]) if row["dataset"] in sets else None
            if made is not None and (row["system"], made[0]) not in seen:
                seen.add((row["system"], made[0]))
                one = row | {"question": made[0], "reference": made[1]}
                found.setdefault((row["dataset"], name), []).append(one)
    return found


def _hold_out(config: Config, inputs: Mapping[str, Location], out: Location) -> Result:
    """The shifted questions as files of rows in this artifact, which are then read as any other."""
    rows = inputs["held_out"].read_table("eval").to_pylist()
    entries = []
    for (dataset, shift), several in shifted(rows, _trained(config)).items():
        title = title_of(dataset, shift)
        for number, (keys, alike) in enumerate(_by_keys(several).items()):
            file = out / f"{title.replace(' ', '-')}-{number}.jsonl"
            file.write_text("".join(json.dumps(fields) + "\n" for fields in alike))
            entry = {"name": "jsonl", "path": file.uri, "label": title, "split": "test"}
            entries.append(entry | dict(keys))
    own = elsewhere.of(config, json.dumps(entries))
    return queries.run(own, {}, out, roles=elsewhere.ROLES)


def _by_keys(rows: list[dict[str, Any]]) -> dict[Keys, list[dict[str, Any]]]:
    """Fields of rows, by what the entry that reads them says: their kind, and which of them have a
    system prompt, and choices."""
    found: dict[Keys, list[dict[str, Any]]] = {}
    for row in rows:
        keys = {"kind": row["kind"]}
        fields = {"question": row["question"], "answer": row["reference"]}
        if row["system"] is not None:
            keys["system"] = "{system}"
            fields["system"] = row["system"]
        if row["choices"] is not None:
            keys["choices"] = "choices"
            fields["choices"] = dict(zip(LETTERS, row["choices"], strict=False))
        found.setdefault(tuple(keys.items()), []).append(fields)
    return found


def read(config: Config, inputs: Mapping[str, Location]) -> Reading:
    """Each shift beside the data sets that it shifts, of which `domain` shifts none."""
    there = inputs["evaluate_shifted"].read_table(f"{BASE}-", ["dataset"])["dataset"].to_pylist()
    sets = _trained(config)
    places = {"as tested": ("evaluate", sets)} | {
        shift: ("evaluate_shifted", {title_of(one, shift) for one in sets} & set(there))
        for shift in SHIFTS
    }
    places["domain"] = ("evaluate", groups(config).get(OUT_OF_DOMAIN, set()))
    found = {
        title: {
            model: [calibration.scores(inputs[step], model, datasets)]
            for model in (BASE, CALIBRATED)
        }
        for title, (step, datasets) in places.items()
        if datasets
    }
    made = calibration.by_group(config, found)
    return replace(made, paragraph=f"{made.paragraph}\n\n{recorded.of_one_run(config)}")
