"""What a published set is, and how its rows are read: from the hub, or from local files."""

import os
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.config import DatasetConfig
from pipelines.datasets.base import Row
from pipelines.datasets.choices import Choices, fold, in_lines, with_list
from pipelines.datasets.duplicates import near
from pipelines.datasets.records import Record, Refused, read
from pipelines.datasets.sources import files
from pipelines.datasets.values import field, text_of
from pipelines.method.answers import Kind, canonical
from pipelines.method.answers.choice import LETTERS
from pipelines.storage.errors import reason
from pipelines.storage.text import short

SPLITS = ("train", "calibration", "test")
HELD = 10  # of so many training questions, one is for calibration, by its hash
CARVED = {"train", "calibration"}  # of one file, apart
ENDINGS: dict[Kind, str] = {
    "number": " Reason briefly, then end with 'Answer:' and the number.",
    "option": "\nReason briefly, then end with 'Answer:' and the letter.",
    "math": " Reason briefly, then end with 'Answer:' and the result as a formula.",
    "text": " Reason briefly, then end with 'Answer:' and the answer.",
}


@dataclass(frozen=True)
class Asked:
    """A row as the model is asked it. choices: the texts, from A on; of an option, the answer is
    their letter. group: what rows that go together share, of which one tells much of the others;
    the question, by default."""

    question: str
    answer: str
    choices: tuple[str, ...] = ()
    group: str | None = None


@dataclass(frozen=True)
class Published:
    """A set as it lies on the hub, and as it is asked.

    use: in the paper a seed (trained on), or for evaluation; or an extra. hub, revision: of a
    repository of data sets, and a commit of it. files: of it, by split; calibration is carved from
    train. public_test: what its publisher calls the split that is tested on: where the answers of
    its test split are not public, that is its validation split.
    fields: the publisher's, which `ask` reads. kind: of the answers.
    """

    use: Literal["seed", "evaluation", "extra"]
    hub: str
    revision: str
    files: Mapping[Literal["train", "test"], str]
    public_test: str
    fields: tuple[str, ...]
    ask: Callable[[Record], Asked]
    kind: Kind
    licence: str

    @property
    def splits(self) -> tuple[str, ...]:
        return SPLITS if "train" in self.files else ("test",)

    def load(self, config: DatasetConfig, seed: int, refused: Refused) -> Iterator[Row]:
        """All rows of a split, from config.path or the hub: train and calibration of one file,
        apart; test whole."""
        if config.split not in (self.splits if config.path is None else SPLITS):
            there = ", ".join(self.splits)
            raise ValueError(f"{config.name}: split {config.split!r} is none of {there}")
        path = self._fetched(config) if config.path is None else self._own_file(config, config.path)
        for record in read(path, refused):
            try:
                row = self._row(record, config.split)
            except ValueError as error:
                refused(error)
            else:
                if row is not None:
                    yield row

    def _row(self, record: Record, split: str) -> Row | None:
        """None where it belongs to another split."""
        place, _ = record
        asked = self.ask(record)
        if split in CARVED and _held(asked) != (split == "calibration"):
            return None
        if canonical(asked.answer, self.kind) is None:
            answer = short(asked.answer)
            raise ValueError(f"{place}: answer {answer!r} is not of kind {self.kind}")
        _check_once(asked, place)
        choices = in_lines(asked.choices)
        question = with_list(asked.question, choices) + ENDINGS[self.kind]
        return Row(question, asked.answer, self.kind, choices or None)

    def spec(self, split: str) -> dict[str, Any]:
        """What decides a split's rows, beside the config's entry."""
        return {
            "hub": self.hub,
            "revision": self.revision,
            "file": self._file(split),
            "ending": ENDINGS[self.kind],
        }

    def names(self, config: DatasetConfig) -> frozenset[str]:
        """What tells the files that an entry reads from others."""
        if config.path is None:
            return frozenset([f"{self.hub}/{self._file(config.split)}"])
        sources = files(self._own_file(config, config.path))
        return frozenset(os.path.realpath(source.path) for source in sources)

    def _file(self, split: str) -> str:
        """On the hub; of a set without a training file, that is its one."""
        return self.files.get("train" if split in CARVED else "test") or self.files["test"]

    def _own_file(self, config: DatasetConfig, path: str) -> str:
        """A path; where it is a folder of several files, the split's, called as on the hub."""
        sources = files(path)
        if len(sources) == 1 or not sources[0].shown.startswith(f"{path.rstrip('/')}/"):
            return path
        file = self._file(config.split)
        for ending in (f"/{file}", f"/{file.rpartition('/')[2]}"):
            if len(fits := [one.shown for one in sources if one.shown.endswith(ending)]) == 1:
                return fits[0]
        raise ValueError(
            f"{config.name}: {path}: which of its {len(sources)} files has split {config.split} is "
            f"not known, for none is called {file}; name a file or a pattern"
        )

    def _fetched(self, config: DatasetConfig) -> str:
        from httpx2 import HTTPError
        from huggingface_hub import hf_hub_download

        file = self._file(config.split)
        try:
            return hf_hub_download(self.hub, file, repo_type="dataset", revision=self.revision)
        except (HTTPError, OSError) as error:  # the hub's own errors are the first
            raise ValueError(
                f"{config.name}: could not fetch {file} of {self.hub} from the hub "
                f"({reason(error)}); give it as path, from where there is one: hf download "
                f"{self.hub} {file} --repo-type dataset --revision {self.revision} --local-dir ."
            ) from None


def _held(asked: Asked) -> bool:
    """Whether a training question is for calibration: by its group's hash, in whatever file and
    order."""
    return near(asked.group or asked.question) % HELD == 0


def _check_once(asked: Asked, place: str) -> None:
    """ValueError where another choice is the answer's text too."""
    folded = [fold(one) for one in asked.choices]
    if asked.choices and folded.count(folded[at := LETTERS.index(asked.answer)]) > 1:
        answer = short(asked.choices[at])
        raise ValueError(f"{place}: answer {answer!r} is there twice among the choices")


def text(record: Record, name: str) -> str:
    """A field's text, or number."""
    place, _ = record
    return text_of(field(record, name), f"{place}: field {name!r}")


def texts(record: Record, name: str) -> list[str]:
    """A field's list of texts."""
    place, _ = record
    value = field(record, name)
    if not isinstance(value, list):
        raise ValueError(f"{place}: field {name!r} is no list")
    return [text_of(one, f"{place}: field {name!r}, entry {at}") for at, one in enumerate(value, 1)]


def sentences(*parts: str) -> str:
    """Texts in one line, each ended."""
    return " ".join(one if one.endswith((".", "?", "!")) else f"{one}." for one in parts)


def option(record: Record, question: str, choices: Choices, label: str) -> Asked:
    """A question whose answer is the choice with a label of the data's own, which another choice's
    text may be."""
    place, _ = record
    labels = [one.casefold() for one in choices.labels]
    if label.casefold() not in labels:
        there = ", ".join(choices.labels)
        raise ValueError(f"{place}: answer {short(label)!r} is none of the labels {there}")
    return Asked(question, LETTERS[labels.index(label.casefold())], choices.texts)


def at_index(record: Record, question: str, choices: list[str], index: str) -> Asked:
    """A question whose answer is the choice at an index, from 0 on."""
    place, _ = record
    if not index.isdecimal() or int(index) >= min(len(choices), len(LETTERS)):
        raise ValueError(f"{place}: answer {short(index)!r} is none of {len(choices)}, from 0 on")
    return Asked(question, LETTERS[int(index)], tuple(choices))


def shuffled(question: str, answer: str, wrong: list[str]) -> Asked:
    """A question with its choices in an order by chance, which its text alone decides."""
    choices = [answer, *wrong]
    places = list(range(len(choices)))
    random.Random(question).shuffle(places)
    letter = LETTERS[places.index(0)]
    return Asked(question, letter, tuple(choices[place] for place in places))
