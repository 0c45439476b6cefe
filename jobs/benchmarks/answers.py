"""Reading answers: ordinary responses a second on one core, hostile ones, and math-verify."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from jobs.benchmarks.measurement import Measurement, Pair, Reach
from pipelines.method.answers import Kind, extract

_ORDINARY: dict[Kind, tuple[str, ...]] = {
    "number": (
        "{0} + {1} = {2}.",
        "She buys {0} pens in the morning and {1} in the afternoon.\nSo she has {0} + {1} = {2} "
        "pens in all.\n\nAnswer: {2}",
        "We solve $x - {0} = {1}$ and get $x = {2}$.\n\nHence \\boxed{{{2}}}.",
    ),
    "option": (
        "({3})",
        "Plants need light, and of the four only one has any after {0} days.\n\nAnswer: {3}",
        "The correct answer is **{3}**, because {0} is more than {1}.",
    ),
    "text": (
        "The capital of Land {0} is Town {1}.",
        "**Town {0}**",
        "Land {0} lies by the sea. Its capital is Town {1}, which has a harbour.",
    ),
}
# Each is repeated to 100 kB.
_HOSTILE = (
    "\n", "answer: ", "\\boxed{", "\\frac{1}{", "1,", "½", "the answer is not ", "<think>", "(A) ",
    "I choose ", "respuesta ", "% ", "a is the b of ", "Wait, it is ", "St. ", "\nQuestion: ",
)  # fmt: skip


def run(quick: bool) -> Iterator[Measurement]:
    count, repeats = (300, 1) if quick else (20_000, 3)
    for kind in _ORDINARY:
        responses = ordinary(kind, count)
        read = partial(extract, kind=kind)
        pairs = [(_rate(read, responses), 100_000.0) for _ in range(repeats)]
        yield Measurement.of(
            f"answers.{kind}", "responses/s, of 100,000", pairs, Reach("at least", 1)
        )
    yield Measurement.of(
        "answers.hostile", "ms of 100 kB, of 50", [_slowest()], Reach("at most", 1)
    )
    from math_verify import parse

    responses = ordinary("number", count // 20)
    pairs = [
        (_rate(partial(extract, kind="number"), responses), _rate(parse, responses))
        for _ in range(repeats)
    ]
    yield Measurement.of("answers.math_verify", "responses/s", pairs, Reach("at least", 10))


def ordinary(kind: Kind, count: int) -> list[str]:
    """So many distinct responses."""
    forms = _ORDINARY[kind]
    return [
        forms[i % len(forms)].format(i, 2 * i + 1, 3 * i + 1, "ABCD"[i % 4]) for i in range(count)
    ]


def _rate(read: Callable[[str], object], responses: Sequence[str]) -> float:
    start = time.process_time()
    for response in responses:
        read(response)
    return len(responses) / (time.process_time() - start)


def _slowest() -> Pair:
    texts = [part * (100_000 // len(part)) for part in _HOSTILE]
    slowest = max(
        1 / _rate(partial(extract, kind=kind), [text]) for text in texts for kind in _ORDINARY
    )
    return 1000 * slowest, 50.0
