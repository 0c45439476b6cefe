"""A first look at the data of a config: prompts, answers, lengths, and what would be refused.

Nothing that is wrong with a row stops it, and no weights are read: `jobs.inspect --data CONFIG`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pipelines.config import Config
from pipelines.datasets.entries import Entry, Reading, entries, is_read
from pipelines.datasets.found import Found
from pipelines.datasets.published import SETS
from pipelines.method.answers import canonical, references
from pipelines.method.answers.choice import LETTERS
from pipelines.method.prompts import Prompts
from pipelines.storage.models import fetch_tokenizer
from pipelines.storage.text import short

_ROWS = 3  # that are shown
_MEASURED = 2_000  # prompts of an entry: a render and an encoding each
_FORMULAS = 300  # references of an entry that are parsed: some milliseconds each
_LONGEST = 1_500  # characters of a prompt that are shown


@dataclass
class Look:
    """What is told of a config's data. stops: what would end a run, a line each."""

    config: Config
    stops: list[str] = field(default_factory=list)
    _at: Entry | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._reading = Reading(self.config, strict=False)

    def lines(self) -> Iterator[str]:
        """What there is to tell, as it is read."""
        prompts = None
        try:
            model = self.config.model
            tokenizer = fetch_tokenizer(model.source)
            prompts = Prompts.load(tokenizer, self.config.confidence.question, model.chat)
        except ValueError as error:
            yield f"no prompts and lengths, for the model's tokenizer cannot be had: {error}"
        for entry in entries(self.config):
            self._at = entry
            yield entry.where
            yield from (f"  {line}" for line in self._entry(entry, prompts))

    def so_far(self) -> str | None:
        """How far the entry that is read has come; None before the first."""
        if self._at is None:
            return None
        found = self._reading.found.get(self._at.key, Found())
        read = found.rows + found.refused + found.twice
        return f"{self._at.where}: {read:,} rows so far"

    def _entry(self, entry: Entry, prompts: Prompts | None) -> Iterator[str]:
        lengths: list[int] = []
        unread = 0
        try:
            for number, row in enumerate(self._reading.rows(entry)):
                read = number >= _FORMULAS or is_read(row)
                unread += not read
                text = row["question"]
                if prompts is not None and number < _MEASURED:
                    text = prompts.sampling_text(row["question"], row["system"])
                    lengths.append(len(prompts.sampling_ids(row["question"], row["system"])))
                if number < _ROWS:
                    yield from _shown(text, row, lengths, read)
        except ValueError as error:
            self.stops.append(str(error))
            yield f"stops: {error}"
        if (found := self._reading.found.get(entry.key)) is None:
            return
        yield from self._counted(entry, found)
        if unread:
            of = "" if found.rows <= _FORMULAS else f" (of the first {_FORMULAS})"
            yield f"no formulas: {unread:,} references cannot be read as one{of}"
            if entry.config.name not in SETS:
                self.stops.append(
                    f"{entry.key}: {unread:,} references that cannot be read as formulas"
                )
        if prompts is not None and lengths:
            yield from self._measured(entry, lengths, prompts, found.rows)

    def _counted(self, entry: Entry, found: Found) -> Iterator[str]:
        yield f"rows: {found.rows:,}; {found.refused:,} refused, {found.twice:,} there before"
        yield from (f"refused: {reason}" for reason in found.reasons)
        if found.refused > len(found.reasons):
            yield f"refused: {found.refused - len(found.reasons):,} more"
        yield from (f"shared: {line}" for line in found.overlaps)
        if entry.config.name not in SETS and found.rows:
            for count, what in (
                (found.refused, "refused rows"),
                (found.twice, "repeated questions"),
            ):
                if count:
                    self.stops.append(f"{entry.key}: {count:,} {what}")

    def _measured(
        self, entry: Entry, lengths: list[int], prompts: Prompts, rows: int
    ) -> Iterator[str]:
        labeled = entry.role == "train"
        key = "sampling.max_tokens" if labeled else "evaluate.sampling.max_tokens"
        most = (self.config.sampling if labeled else self.config.answering).max_tokens
        room = prompts.room(self.config.engine.max_model_len, most)
        of = "" if rows == len(lengths) else f" (of the first {len(lengths):,})"
        spread = f"{min(lengths):,} to {max(lengths):,} tokens, median {median(lengths):,.0f}"
        whole = self.config.engine.max_model_len
        yield (
            f"prompts: {spread}{of}; room for {room:,}: engine.max_model_len ({whole:,}) less "
            f"{key} ({most:,}) and the confidence turn"
        )
        if long := sum(one > room for one in lengths):
            self.stops.append(f"{entry.key}: {long:,} prompts are too long")
            yield f"too long: {long:,} prompts; raise engine.max_model_len, or lower {key}"


def _shown(text: str, row: dict[str, Any], lengths: list[int], read: bool) -> Iterator[str]:
    tokens = f", {lengths[-1]:,} tokens" if lengths else ""
    yield f"row {row['query_id']}{tokens}"
    more = len(text) - _LONGEST
    shown = text if more <= 0 else f"{text[:_LONGEST]}... ({more:,} characters more)"
    yield from (f"  | {line}" for line in shown.rstrip("\n").split("\n"))
    as_what = f"is read as {_read(row)}" if read else "cannot be read as a formula, kind math"
    yield f"  answer {short(row['reference'])!r} {as_what}"


def _read(row: dict[str, Any]) -> str:
    """A reference's canonical forms, as responses are compared with; of an option, its text too."""
    kind = row["kind"]
    several = references(row["reference"], kind)
    forms = " or ".join(repr(short(canonical(one, kind) or "")) for one in several)
    if kind == "option" and row["choices"]:
        letter = canonical(row["reference"], kind) or ""
        forms += f" ({short(row['choices'][LETTERS.index(letter)])})"
    return f"{forms}, kind {kind}"
