"""jobs.run with an engine that is no model, so that labels can be compared to the letter:

python tests/helpers/labeling.py --config FILE --until label ...

The engine adds a line to the file $DRAWN, where there is one, for each sample that it begins. The
mass of Yes and No together is $MASS, or 1. While there is a file $ALLOWED, each engine answers as
many samples as that says, and then waits: see Allowed. Where there is a directory $ROOM, an engine
takes a file of it away to start, and refuses to where none is left, as for want of memory; the
others answer once one has refused.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from processes import ROOT
from pyarrow.fs import FileSelector

from jobs import run
from pipelines.config import Config
from pipelines.engine.protocol import Counters, Drawing, Generated, Scored
from pipelines.running.progress import Count
from pipelines.stages import label
from pipelines.storage.location import MANIFEST, Location

QUERIES = 105  # capitals to train on, all of them
SECONDS = 0.05  # at most, of a response: they end in another order than they begin


class Allowed:
    """How far runs come that have its environment: not to their end, before who kills them amid
    labels says so, however fast the machine."""

    def __init__(self, directory: Path):
        self._file = directory / "allowed"
        self.environment = {"ALLOWED": str(self._file)}

    def samples(self, number: int) -> None:
        """From here on each engine answers so many in all, those that are begun anew, too."""
        written = self._file.with_suffix(".new")
        written.write_text(str(number))
        written.replace(self._file)

    def all(self) -> None:
        self._file.unlink(missing_ok=True)


def command(root: str | Path, *more: str) -> list[str]:
    """Labels all capitals, four samples each; of arguments that come twice, the last counts."""
    return [
        sys.executable, str(ROOT / "tests/helpers/labeling.py"),
        "--config", "jobs/configs/quickstart.yaml", "--until", "label",
        "--set", f"root={root}", "--set", "data.train=[{name: capitals}]",
        "--set", "sampling.num_samples=4", "--set", "engine.max_num_seqs=16", *more,
    ]  # fmt: skip


class Engine:
    """Answers and lengths follow from a draw's key, and confidences from what was answered."""

    def __init__(self, answers_after: Path | None = None) -> None:
        self.count = Count()
        self._after = answers_after
        self._answered = 0
        # An actor that is killed has written what it began.
        self._drawn = open(os.environ.get("DRAWN", os.devnull), "a", buffering=1)  # noqa: SIM115

    async def draw(
        self,
        prompt_ids: Sequence[int],
        key: int,
        drawing: Drawing,
        spent: Counters,
        heard: Callable[[str], None] | None = None,
        live: bool = False,
    ) -> "Draw":
        print(key, file=self._drawn)
        while not self._may_answer():
            await asyncio.sleep(0.05)
        self._answered += 1
        draws = np.random.default_rng(key)
        await asyncio.sleep(draws.uniform(0, SECONDS))
        length = int(draws.integers(9))
        text = f"The answer is {draws.integers(4)}. " + "so " * length
        ids = [ord(letter) for letter in text]
        self.count.done += 1
        self.count.tokens += len(ids)
        spent.generated_tokens += len(ids)
        spent.cached_tokens += len(prompt_ids)
        generated = Generated(ids, text, len(ids), "stop", len(prompt_ids), len(prompt_ids))
        return Draw(generated, length / 10, spent)

    def _may_answer(self) -> bool:
        if self._after and not self._after.exists():
            return False
        try:
            allowed = Path(os.environ.get("ALLOWED", os.devnull)).read_text()
        except FileNotFoundError:
            return True
        return not allowed or self._answered < int(allowed)

    def shutdown(self) -> None:
        pass


class Draw:
    def __init__(self, generated: Generated, p_true: float, spent: Counters):
        self.generated, self._p_true, self._spent = generated, p_true, spent

    async def score(self) -> Scored:
        tokens = self.generated.prompt_tokens + len(self.generated.token_ids)
        scored = Scored(self._p_true, float(os.environ.get("MASS", "1")), tokens, tokens)
        self._spent.cached_tokens += tokens
        self._spent.scored_responses += 1
        self._spent.mass += scored.mass
        return scored

    def release(self) -> None:
        pass


def engine(config: Config) -> Engine:
    if (room := os.environ.get("ROOM")) is None:
        return Engine()
    refused = Path(f"{room}-refused")
    try:
        next(Path(room).iterdir()).unlink()
    except (StopIteration, FileNotFoundError):
        refused.touch()
        raise ValueError("engine: one takes 9.0 GiB, and 3.0 GiB are free") from None
    return Engine(refused)


def artifact(root: str | Path) -> Location:
    """A run's label artifact, which must be whole."""
    place = Location.of(str(root))
    (found,) = (
        place / info.base_name
        for info in place.filesystem.get_file_info(FileSelector(place.path))
        if info.base_name.startswith("label-")
    )
    assert (found / MANIFEST).exists()
    return found


def rows(root: str | Path) -> pa.Table:
    """A run's labels, in an order and without what they cost, to compare with another run's."""
    return artifact(root).read_table().drop_columns("counters").sort_by("query_id")


def main() -> int:
    label.run = partial(label.run, make_engine=engine)
    return run.main()


if __name__ == "__main__":
    sys.exit(main())
