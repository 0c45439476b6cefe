"""The rows of a config's data entries, one after the other, and what is told of them.

A row that is wrong, a question that is there twice, and two of one query_id are refused where the
data are one's own or built in, for these can be mended. Of a published set they are left out and
counted; but a question of two files, trained on and tested, is kept as its publisher has it, and
counted. One file under two roles is refused, and so is a copy of it.
"""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.config import Config, DatasetConfig
from pipelines.datasets import BUILT_IN, LOADERS, Row
from pipelines.datasets.base import picked
from pipelines.datasets.duplicates import ID_BITS, Hashes, exact, near
from pipelines.datasets.found import Found
from pipelines.datasets.published import SETS
from pipelines.datasets.published.base import CARVED, ENDINGS
from pipelines.datasets.records import Refused, fail
from pipelines.datasets.sources import FORMATS
from pipelines.method.answers import canonical, references
from pipelines.method.formulas import parses
from pipelines.storage.text import short

ROLES = ("train", "calibration", "eval")  # a role is a key of the config's data
_COPIED = 10  # questions at least that make a copy: a few are alike by chance


class Entry(NamedTuple):
    """key: its place in the config, as data.train.0."""

    key: str
    role: str
    config: DatasetConfig

    @property
    def where(self) -> str:
        return f"{self.key} ({self.config.title}, {self.config.split})"


@dataclass
class _Seen:
    """The questions of an entry, word for word and nearly. offered: under a limit all that it could
    have taken, word for word."""

    entry: Entry
    exactly: Hashes = field(default_factory=Hashes)
    nearly: Hashes = field(default_factory=Hashes)
    offered: Hashes = field(default_factory=Hashes)

    def whole(self) -> NDArray[np.uint64]:
        """Those that it could take, word for word, in order."""
        return np.union1d(self.exactly.sorted(), self.offered.sorted())


class Reading:
    """Reads entries; keeps 16 bytes a question, and 8 more where there is a limit.

    found: by an entry's key, as far as it is read. strict: as the stages read. Otherwise nothing
    that is wrong with a row stops it.
    """

    def __init__(self, config: Config, *, strict: bool = True):
        self._seed, self._strict = config.seed, strict
        self._seen: list[_Seen] = []
        self._files: list[tuple[Entry, frozenset[str]]] = []  # of published sets
        self.found: dict[str, Found] = {}

    def rows(self, entry: Entry) -> Iterator[dict[str, Any]]:
        """Those of an entry, unrendered, with keys of schemas.QUERIES; ValueError names the entry,
        the file or the row."""
        check(entry)
        name = entry.config.name
        published = name in SETS
        found = self.found[entry.key] = Found()
        refused = found.refuse if published or not self._strict else fail
        seen = _Seen(entry)
        others = [other for other in self._seen if other.entry.role != entry.role]
        self._seen.append(seen)
        for row in self._left(seen, refused):
            asked = _asked(row.question, row.system)
            same, alike = exact(asked), near(asked.removesuffix(ENDINGS[row.kind]))
            found.exactly.update({other.entry.role for other in others if same in other.exactly})
            found.shared.update({other.entry.role for other in others if alike in other.nearly})
            seen.exactly.add(same)
            seen.nearly.add(alike)
            found.rows += 1
            yield _query(entry, row)
        if not found.rows:
            why = f"; all {found.twice} were there before" if found.twice else ""
            why = f"; {found.refused} are refused: {found.reasons[0]}" if found.refused else why
            raise ValueError(f"{entry.key}: {name} ({entry.config.split}) has no rows{why}")
        if published:
            self._check_copies(seen)
        else:
            self._check_ids(entry)

    def _left(self, seen: _Seen, refused: Refused) -> Iterator[Row]:
        """The rows of an entry that count: as many as its limit says of those that were not there
        before. What is one's own has none of these, and picks its rows before it reads them."""
        config = seen.entry.config
        with named(seen.entry):
            self._check_files(seen.entry)
        if config.name in SETS:
            return picked(partial(self._once, seen), config.limit, self._seed, refused)
        return itertools.islice(self._once(seen, refused), config.limit)

    def _once(self, seen: _Seen, refused: Refused) -> Iterator[Row]:
        """An entry's rows, each question once: a reading anew counts anew."""
        entry = seen.entry
        found, seen.offered = self.found[entry.key], Hashes()
        limited = entry.config.limit is not None  # so that not all of them come to be taken
        found.twice = 0
        for row in _loaded(entry, self._seed, refused):
            one = exact(asked := _asked(row.question, row.system))
            again = self._is_there(entry, asked, one) or one in seen.offered
            if again or self._has_id(seen, one):
                found.twice += 1
                continue
            if limited:
                seen.offered.add(one)
            yield row

    def _is_there(self, entry: Entry, asked: str, one: int) -> bool:
        """Whether a question is to be left out; ValueError where it must not be there again. one:
        its hash."""
        published = entry.config.name in SETS
        for other in (seen.entry for seen in self._seen if one in seen.exactly):
            if published and (other.role == "train") != (entry.role == "train"):
                continue  # in another stage
            if published or not self._strict:
                return True
            raise ValueError(
                f"{entry.where}: question {short(asked)!r} is there twice, first in {other.where}; "
                "a query must have one role and one row"
            )
        return False

    def _has_id(self, seen: _Seen, one: int) -> bool:
        """Whether a published set's question has the query_id of another one."""
        config = seen.entry.config
        if config.name not in SETS:
            return False
        there = [each.exactly for each in self._seen if each.entry.config.title == config.title]
        return any(each.has_id(one) and one not in each for each in (seen.offered, *there))

    def _check_files(self, entry: Entry) -> None:
        """ValueError where another role has the rows of a published set's file."""
        if entry.config.name not in SETS:
            return
        names = SETS[entry.config.name].names(entry.config)
        for other, others in self._files:
            apart = {entry.config.split, other.config.split} == CARVED
            if other.role == entry.role or apart:
                continue
            if names & others:
                raise ValueError(
                    f"its rows are those of {other.where}; a query must have one role, so name "
                    "another file or split"
                )
        self._files.append((entry, names))

    def _check_ids(self, entry: Entry) -> None:
        """ValueError where two questions of one title have one query_id, as two of a million may:
        what follows would take one for the other."""
        title = entry.config.title
        alike = [seen for seen in self._seen if seen.entry.config.title == title]
        ids = reduce(np.union1d, [seen.exactly.sorted() for seen in alike])
        ids >>= np.uint64(64 - ID_BITS)
        if not len(same := ids[1:][ids[1:] == ids[:-1]]):
            return
        shared = f"{title}-{int(same[0]):0{ID_BITS // 4}x}"
        asked = {
            text: None
            for seen in alike
            for row in _loaded(seen.entry, self._seed, lambda error: None)
            if query_id(title, text := _asked(row.question, row.system)) == shared
        }
        first, second, *_ = (repr(short(text)) for text in asked)
        raise ValueError(
            f"{entry.where}: questions {first} and {second} have one query_id, {shared}, which is "
            "made of their hashes; leave one of them out"
        )

    def _check_copies(self, seen: _Seen) -> None:
        """ValueError where more than half of the questions of another role's file are in this one's
        too, or the other way: other files of one set share few. Limits do not count, for of a copy
        two limits may take other questions, and both have met."""
        entry, mine = seen.entry, seen.whole()
        for other in self._seen:
            if other.entry.role == entry.role or other.entry.config.name != entry.config.name:
                continue
            others = other.whole()
            count = len(np.intersect1d(mine, others, assume_unique=True))
            if count >= _COPIED and 2 * count > min(len(mine), len(others)):
                raise ValueError(
                    f"{entry.key}: {count:,} of the {len(mine):,} questions of its file are among "
                    f"the {len(others):,} of {other.entry.where}, word for word, as in a copy; a "
                    "query must have one role, so name another file or split"
                )


def check(entry: Entry) -> None:
    """ValueError where nothing could be read of it, whatever its files hold."""
    name, path = entry.config.name, entry.config.path
    if name not in LOADERS:
        raise ValueError(f"{entry.key}.name: {name!r} is none of {', '.join(LOADERS)}")
    if path is not None and name in BUILT_IN:
        raise ValueError(f"{entry.key}.path: {name} is built in, and reads no file")
    if path is None and name == "jsonl":
        raise ValueError(f"{entry.key}.path is missing (a file, folder or URI of {FORMATS})")


@contextmanager
def named(entry: Entry) -> Iterator[None]:
    """What is wrong with an entry begins with its place in the config."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{entry.key}: {error}") from None


def _loaded(entry: Entry, seed: int, refused: Refused) -> Iterator[Row]:
    with named(entry):
        yield from LOADERS[entry.config.name](entry.config, seed, refused)


def entries(config: Config, roles: Sequence[str] = ROLES) -> list[Entry]:
    return [
        Entry(f"data.{role}.{number}", role, entry)
        for role in roles
        for number, entry in enumerate(getattr(config.data, role))
    ]


def read(config: Config) -> Iterator[dict[str, Any]]:
    """The rows of all entries (Reading.rows)."""
    reading = Reading(config)
    for entry in entries(config):
        yield from reading.rows(entry)


def _query(entry: Entry, row: Row) -> dict[str, Any]:
    title = entry.config.title
    return {
        "query_id": query_id(title, _asked(row.question, row.system)),
        "dataset": title,
        "split": entry.config.split,
        "role": entry.role,
        "kind": row.kind,
        "choices": row.choices,
        "question": row.question,
        "reference": row.reference,
        "system": row.system,
    }


def is_read(row: dict[str, Any]) -> bool:
    """Whether references of kind math are formulas; SymPy takes some milliseconds."""
    several = references(row["reference"], "math") if row["kind"] == "math" else []
    return all(parses(canonical(one, "math") or "") for one in several)


def query_id(dataset: str, asked: str) -> str:
    """Stable: the data set's name and ID_BITS of the hash of what is asked. Unique, for of
    two that are one the later is refused or left out."""
    return f"{dataset}-{hashlib.sha256(asked.encode()).hexdigest()[: ID_BITS // 4]}"


def _asked(question: str, system: str | None) -> str:
    """All of what tells a query from others: its question, and a system prompt of its own."""
    return question if system is None else f"{system}\n{question}"
