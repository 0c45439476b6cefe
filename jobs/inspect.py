"""Prints what a label artifact holds, or what a config's data are.

python -m jobs.inspect URI            of a label artifact, or of a run's root for its newest:
                                      queries, samples, agreement, confidences, what failed
python -m jobs.inspect --data CONFIG  before a run, and without the model's weights: prompts, how
                                      answers are read, lengths, what is refused and why

Reads while the stage is still writing, too; memory does not grow with the artifact. Exit status 2
where the data would stop a run.
"""

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pyarrow.fs import FileType

from jobs import cli
from pipelines.config import Config
from pipelines.engine.signs import Signs, votes
from pipelines.method.metrics import BINS
from pipelines.running.progress import repeated
from pipelines.storage.location import MANIFEST, Location

TOLD_EVERY = 5.0  # seconds, of how far a look at data is


@dataclass
class Summary:
    """Sums over label rows, beside their signs, by data set. agreement: each query's share of its
    most frequent answer."""

    signs: defaultdict[str, Signs] = field(default_factory=lambda: defaultdict(Signs))
    without_answer: int = 0  # queries of which no sample had one
    tokens: int = 0
    agreement: float = 0.0
    scored: int = 0  # responses: equal ones of a query are scored once
    mass: float = 0.0  # of these
    confidence: Counter[int] = field(default_factory=Counter)  # by bin of P(True)

    def add(self, row: dict[str, Any]) -> None:
        samples = row["samples"]
        most = max(votes(samples).values(), default=0)
        self.signs[row["dataset"]].add(row)
        self.without_answer += most == 0
        self.tokens += sum(one["num_tokens"] for one in samples)
        self.agreement += most / len(samples)
        self.scored += row["counters"]["scored_responses"]
        self.mass += row["counters"]["mass"]
        self.confidence.update(min(int(one["p_true"] * BINS), BINS - 1) for one in samples)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.inspect", description=__doc__.split("\n")[0]
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("uri", metavar="URI", nargs="?", help="of a label artifact, or a run's root")
    what.add_argument("--data", metavar="CONFIG", help="a YAML config, whose data are looked at")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override one key of CONFIG"
    )
    options = parser.parse_args(arguments)
    if options.data is not None:
        options.config = options.data
        return cli.run(options, _look)
    if options.set:
        parser.error("--set: it is for --data, for an artifact has no config to change")
    return cli.explained(options.uri, lambda: _inspect(options.uri))


def _inspect(uri: str) -> int:
    place = Location.of(uri)
    artifact = label_artifact(place)
    summary = Summary()
    for row in rows(artifact):
        summary.add(row)
    print_summary(summary, artifact)
    if others := _unfinished(place, artifact):
        names = ", ".join(others)
        print(f"unfinished {names} beside it; name a directory to look into that one")
    for name, one in summary.signs.items():
        for line in one.warnings:
            print(f"warning    {name}: {line}")
    return 0


def _look(config: Config) -> int:
    from pipelines.datasets.look import Look

    look = Look(config)

    def tell() -> None:
        if (line := look.so_far()) is not None:
            print(line, file=sys.stderr, flush=True)

    with repeated(tell, TOLD_EVERY):
        for line in look.lines():
            cli.say(line)
    if look.stops:
        raise ValueError(f"a run would stop: {'; '.join(look.stops)}")
    return 0


def label_artifact(place: Location) -> Location:
    """The place itself, or a root's newest label artifact, be it the first and unfinished;
    ValueError where it is neither."""
    if not place.exists():
        raise ValueError(f"{place.uri}: nothing is there")
    if place.name.startswith("label-"):
        return place
    latest = place / "latest.json"
    known = latest.read_json() if latest.exists() else {}
    if "label" not in known:
        begun = _begun(place)
        if len(begun) > 1:
            names = ", ".join(one.name for one in begun)
            raise ValueError(
                f"{place.uri}: no label stage is done, and {len(begun)} were begun: {names}; name "
                "one of these directories"
            )
        if not begun:
            raise ValueError(
                f"{place.uri}: neither a label artifact nor the root of a run with one"
            )
        return begun[0]
    return Location.of(known["label"])


def _begun(root: Location) -> list[Location]:
    """Label artifacts of a root, finished or not."""
    if root.filesystem.get_file_info(root.path).type != FileType.Directory:
        return []
    return [root / name for name in root.names() if name.startswith("label-")]


def _unfinished(root: Location, artifact: Location) -> list[str]:
    """Names of a root's other label artifacts that are not done: of a config that was changed, and
    is at work or was ended."""
    begun = [] if root == artifact else _begun(root)
    return [
        one.name for one in begun if one.name != artifact.name and not (one / MANIFEST).exists()
    ]


def rows(artifact: Location) -> Iterator[dict[str, Any]]:
    """Of a stage at work, those of files that are whole; ValueError where there are none."""
    columns = ["dataset", "kind", "reference", "samples", "counters"]
    at_work = not (artifact / MANIFEST).exists()
    for batch in artifact.batches(columns, whole_alone=at_work):
        yield from batch.to_pylist()


def print_summary(summary: Summary, artifact: Location) -> None:
    state = "complete" if (artifact / MANIFEST).exists() else "unfinished"
    by_size = sorted(summary.signs.items(), key=lambda named: -named[1].queries)
    signs = summary.signs.values()
    queries, samples = sum(one.queries for one in signs), sum(one.samples for one in signs)
    unparsed, cut = sum(one.unparsed for one in signs), sum(one.cut for one in signs)
    lines = {
        "artifact": f"{artifact.uri}, {state}",
        "queries": ", ".join(f"{one.queries:,} {name}" for name, one in by_size),
        "samples": f"{samples:,}, {samples / queries:g} a query",
        "tokens": f"{summary.tokens:,}, {summary.tokens / samples:.1f} a sample",
        "agreement": f"{summary.agreement / queries:.3f} (share of the commonest answer)",
        "mass": f"{summary.mass / summary.scored:.3g} (of Yes and No; near 0, P(True) is noise)",
        "unparsed": _share(unparsed, samples) + " samples without an answer",
        "failed": _share(summary.without_answer, queries) + " queries without any",
        "cut": _share(cut, samples) + " samples ended by max_tokens",
    }
    for name, line in lines.items():
        print(f"{name:<10} {line}")
    print("P(True)")
    most = max(summary.confidence.values())
    for number in range(BINS):
        count = summary.confidence[number]
        bar = "#" * round(40 * count / most)
        print(f"  {number / BINS:.1f}-{(number + 1) / BINS:.1f} {count:>9,} {bar}")


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.1%})"


if __name__ == "__main__":
    sys.exit(main())
