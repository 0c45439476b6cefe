"""What a run will take, by its config: memory, tokens and, at a rate that one names, hours.

Memory is of the engine and of a training worker, by the model's shape, in bytes. Tokens are upper
bounds: each response as long as it may be, and each row that is trained on, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from pipelines.config import Config, DatasetConfig
from pipelines.datasets import BUILT_IN, LOADERS
from pipelines.datasets.records import fail
from pipelines.engine.footprint import in_forward
from pipelines.running.dag import Planned
from pipelines.storage.location import MANIFEST
from pipelines.storage.shape import Shape, shape_of

_GIB = 2**30
_LEAST_RATE = 1e-9  # tokens a second; fewer are no rate of anything
_TURN = 32  # tokens of the confidence turn; of the families here it has fewer by the paper's words
_ADAPTER = 20  # bytes a parameter: float32 weights, DeepSpeed's copy, gradient and two moments


@dataclass(frozen=True)
class EngineMemory:
    """Of a part of an engine."""

    weights: float
    forward: float  # logits and activations
    kv_cache_a_token: float
    sequences: float  # KV cache of a full batch of responses of max_tokens

    @property
    def least(self) -> float:
        """Without any KV cache."""
        return self.weights + self.forward


@dataclass(frozen=True)
class TrainingMemory:
    """Of a worker, in a forward of train.micro_tokens."""

    weights: float
    adapter: float
    activations: float
    logits: float

    @property
    def total(self) -> float:
        return self.weights + self.adapter + self.activations + self.logits


def engine_memory(config: Config, shape: Shape) -> EngineMemory:
    engine = config.engine
    size = 4 if engine.dtype == "float32" else 2
    parts = engine.tensor_parallel_size
    a_token = 2 * shape.layers * shape.kv_heads * shape.head_dim * size / parts
    longest = max(config.sampling.max_tokens, config.answering.max_tokens)
    return EngineMemory(
        shape.parameters * size / parts,
        in_forward(engine, shape.hidden, shape.intermediate, shape.vocab, size),
        a_token,
        a_token * engine.max_num_seqs * longest,
    )


def training_memory(config: Config, shape: Shape) -> TrainingMemory:
    """What autograd keeps of a token in a layer, the base weights being frozen: inputs of both
    norms and of the adapter in float32; queries, keys, values, attention's output, and the three
    factors of the MLP in train.dtype. Logits three times: as they are, their softmax, their
    gradient; of all tokens, for a micro-batch may have generation examples alone. A row that is
    longer than train.micro_tokens goes whole."""
    train = config.train
    at_once = max(train.micro_tokens, min(train.max_length, config.engine.max_model_len))
    size = 4 if train.dtype == "float32" else 2
    in_layer = (
        16 * shape.hidden
        + size * 2 * (shape.heads + shape.kv_heads) * shape.head_dim
        + size * 3 * shape.intermediate
    )
    return TrainingMemory(
        shape.parameters * size,  # whole at first, under ZeRO 3, too
        _ADAPTER * shape.lora(train.lora.r, train.lora.targets),
        at_once * shape.layers * in_layer,
        3 * 4 * at_once * shape.vocab,
    )


@dataclass(frozen=True)
class Left:
    """What is still to do: whether to label, trainings, and models to evaluate."""

    label: bool
    trainings: int
    models: int

    @classmethod
    def of(cls, config: Config, planned: Sequence[Planned]) -> "Left":
        """planned: the steps of a run; none where it is not known what is done."""
        if not planned:
            runs = 1 + len(config.train.seeds)
            return cls(True, runs, 1 + runs)
        left = [one.step.name for one in planned if one.state != "done"]
        models = sum(name.startswith("evaluate") for name in left) + ("evaluate" in left)
        return cls("label" in left, sum(name.startswith("train") for name in left), models)


@dataclass(frozen=True)
class Tokens:
    """At most."""

    label: int
    train: int
    evaluate: int


def tokens(
    config: Config, left: Left, queries: int, held_out: int, longest_prompt: int | None = None
) -> Tokens:
    """Generated and scored, but for those of prompts, which samples share; and trained, with those
    of prompts, for each row has its own. queries, held_out: how many are labeled, and answered by
    both models, some of them live, too; longest_prompt: of the labeled, None where it is not known
    yet."""
    from pipelines.stages.evaluate.live import LIVE_POLICIES

    most, answer = config.sampling.max_tokens, config.answering.max_tokens
    turn = _TURN + len((config.confidence.question or "").encode())  # no token is less than a byte
    training = min(config.examples.total, 2 * queries * config.sampling.num_samples)
    row = min(config.train.max_length, config.engine.max_model_len)  # longer ones are dropped
    if longest_prompt is not None:
        row = min(row, longest_prompt + most + turn)
    asked = held_out + len(LIVE_POLICIES) * min(config.evaluate.live_queries, held_out)
    return Tokens(
        left.label * queries * config.sampling.num_samples * (most + turn),
        left.trainings * config.train.epochs * training * row,
        left.models * asked * config.evaluate.num_samples * (answer + turn),
    )


@dataclass(frozen=True)
class Rates:
    """Tokens a second of an engine, and of a training worker; None where nobody says.

    ValueError of one at which nothing ever ends, or all at once.
    """

    engine: float | None = None
    training: float | None = None

    @property
    def named(self) -> dict[str, float]:
        """Those that somebody says, by option."""
        both = {"--tokens-per-second": self.engine, "--train-tokens-per-second": self.training}
        return {name: rate for name, rate in both.items() if rate is not None}

    def __post_init__(self) -> None:
        for name, rate in self.named.items():
            if not _LEAST_RATE <= rate < inf:
                raise ValueError(f"{name}: must be a number of tokens above 0, not {rate:g}")


def lines(config: Config, planned: Sequence[Planned], rates: Rates) -> list[str]:
    """For people. planned: the steps of the run."""
    return [*_memory(config), _work(config, planned, rates)]


def _memory(config: Config) -> list[str]:
    source = config.model.source
    if (found := shape_of(source)) is None:
        return [
            f"memory: not known, for the config.json of {source} is not on this machine, or is not "
            "that of a dense decoder"
        ]
    shape, where = found
    engine, training = engine_memory(config, shape), training_memory(config, shape)
    return [
        f"memory, an estimate for {shape.parameters / 1e9:.3g}B parameters, by {where}, in GiB:",
        f"  engine, a part: {_gib(engine.least)} (weights {_gib(engine.weights)}, logits and "
        f"activations {_gib(engine.forward)}) and {engine.kv_cache_a_token / 1024:.3g} KiB a token "
        f"of KV cache, {_gib(engine.sequences)} where {config.engine.max_num_seqs} responses are "
        "max_tokens long",
        f"  training, a worker: {_gib(training.total)} (weights {_gib(training.weights)}, adapter "
        f"and optimizer {_gib(training.adapter)}; of a micro-batch activations "
        f"{_gib(training.activations)} and logits {_gib(training.logits)})",
    ]


def _work(config: Config, planned: Sequence[Planned], rates: Rates) -> str:
    left, data = Left.of(config, planned), config.data
    labeled = _count(planned, "queries", data.train) if left.label or left.trainings else {}
    asked = _count(planned, "held_out", (*data.calibration, *data.eval)) if left.models else {}
    if unknown := [name for name, number in (labeled | asked).items() if number is None]:
        return f"tokens: not known, for {', '.join(unknown)} has no limit and is not read yet"
    queries, held_out = (sum(number or 0 for number in of.values()) for of in (labeled, asked))
    most = tokens(config, left, queries, held_out, _longest_prompt(planned))
    engines, workers = config.engine.count, config.train.workers
    told = [
        f"{what} {number:,}{of}{_hours(number, rate, many)}"
        for what, number, of, rate, many in (
            ("label", most.label, _but_for_prompts(queries), rates.engine, engines),
            ("train", most.train, "", rates.training, workers),
            ("evaluate", most.evaluate, _but_for_prompts(held_out), rates.engine, engines),
        )
        if number
    ]
    return f"tokens, at most: {', '.join(told)}" if told else "tokens: none, for no stage is left"


def _but_for_prompts(queries: int) -> str:
    return f" ({queries:,} queries, but for prompts)"


def _count(
    planned: Sequence[Planned], step: str, entries: Sequence[DatasetConfig]
) -> dict[str, int | None]:
    """Queries by what they are of: of the step, where it is done; else by limits, and of sets that
    come with this code by their rows. None of what is not known yet."""
    if (manifest := _manifest(planned, step)) is not None:
        return {step: manifest["rows"]}
    found: dict[str, int | None] = {}
    for number, entry in enumerate(entries):
        name = f"{entry.title} ({entry.split}, {number})"
        if entry.name in BUILT_IN:
            rows = len(list(LOADERS[entry.name](entry, 0, fail)))
            found[name] = min(rows, entry.limit or rows)
        else:
            found[name] = entry.limit
    return found


def _longest_prompt(planned: Sequence[Planned]) -> int | None:
    """In tokens, of the queries to label; None where they are not there, or do not tell."""
    of_roles = (_manifest(planned, "queries") or {}).get("metrics", {}).get("longest_prompt", {})
    return of_roles.get("train")


def _manifest(planned: Sequence[Planned], step: str) -> dict[str, Any] | None:
    """None of a step that is not done."""
    for one in planned:
        if one.step.name == step and one.state == "done":
            found: dict[str, Any] = (one.location / MANIFEST).read_json()
            return found
    return None


def _hours(most: int, rate: float | None, many: int) -> str:
    return "" if rate is None else f", {most / rate / many / 3600:.2g} h by {many} at {rate:,.0f}/s"


def _gib(size: float) -> str:
    return f"{size / _GIB:.1f}"
