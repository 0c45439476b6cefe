"""The run's config: YAML in, checked and frozen, before anything heavy is imported.

`load` reads a file, applies `--set key=value`, and raises ValueError with one line that names
the key. Field comments are the config reference (README.md lists the same keys).
"""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipelines.method.policies import POLICIES

Unit = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ModelConfig(_Section):
    source: str  # a directory, a hub id, s3://..., or builtin:smollm2-135m


class DatasetConfig(_Section):
    """An entry of data.train, data.calibration or data.eval."""

    name: str  # capitals, arithmetic, elements, gsm8k, svamp, object_counting, jsonl
    split: str = "train"  # train, calibration or test; a published set's own
    limit: Count | None = None  # the first rows, in a seeded order
    path: str | None = None  # a file or URI in the publisher's fields; jsonl needs one
    question: str = "question"  # jsonl: the field of the question
    answer: str = "answer"  # jsonl: the field of the answer
    kind: Literal["number", "option", "text", "math"] = "text"  # jsonl: how answers compare
    label: str | None = None  # what results are listed under; the name, by default

    @property
    def title(self) -> str:
        return self.label or self.name


class DataConfig(_Section):
    train: Annotated[tuple[DatasetConfig, ...], Field(min_length=1)]  # labeled and trained on
    calibration: tuple[DatasetConfig, ...] = ()  # thresholds are chosen here
    eval: tuple[DatasetConfig, ...] = ()  # results are reported on


class SamplingConfig(_Section):
    num_samples: Count = 32  # N responses a query
    max_tokens: Count = 1024  # of a response
    method: Literal["edt", "fixed"] = "edt"  # entropy-based dynamic temperature, or a fixed one
    temperature: Annotated[float, Field(gt=0, le=1000)] = (
        0.8  # T0; with method fixed, the temperature
    )
    edt_base: Annotated[float, Field(ge=0.001, le=1)] = 0.8  # N_edt
    edt_theta: Annotated[float, Field(ge=0, le=1000)] = 1.0  # theta of EDT
    compat: Literal["none", "paper_code"] = "none"  # paper_code: its entropy, without log Z


class ConfidenceConfig(_Section):
    kind: Literal["yes", "yes_top20", "yes_no"] = "yes"  # p(Yes); Yes in the top 20; a share
    question: str | None = None  # what to ask after a response; the paper's, by default


class EngineConfig(_Section):
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"  # of weights and KV cache
    count: Count = 1  # engines in the label stage, replicas in evaluate
    max_count: Count | None = None  # engines to grow to where nodes come; count, by default
    gpus: Annotated[float, Field(ge=0)] = 0  # GPUs a part; a share of one fits more engines
    cpus: Annotated[float, Field(ge=0)] = 1  # Ray CPUs an engine
    threads: Count | None = None  # CPU only: of an engine; all the machine's, by default
    tensor_parallel_size: Count = 1  # parts that one model is split into
    max_num_seqs: Count = 256  # sequences in a batch
    max_num_batched_tokens: Count = 4096  # tokens in a forward
    max_model_len: Count = 4096  # prompt, response and confidence turn together
    block_size: Count | None = None  # KV block; on CPU 32 is the least, and 128 the default
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.9  # for weights and KV cache
    kv_cache_gib: Count | None = None  # CPU only: memory of the KV cache; vLLM's choice, by default
    enforce_eager: bool = False  # do not compile the model
    batch_invariant: bool = False  # GPU only: vLLM's mode of equal sums in any batch; slower
    trust_remote_code: bool = False  # run code that a model brings
    max_restarts: Annotated[int, Field(ge=0)] = 3  # of one engine, before the run fails

    @property
    def most(self) -> int:
        """Engines at most."""
        return self.max_count or self.count


class ExamplesConfig(_Section):
    total: Count = 100_000  # examples to train on; fewer where the labels have fewer
    generation_ratio: Unit = 0.7  # share of generation examples; 0.8 for Qwen and R1
    eta: Unit = 0.75  # generation examples and the cross entropy want SSC > eta
    bin_width: Annotated[float, Field(gt=0, le=1)] = 0.05  # SSC bins are drawn from evenly
    target: Literal["ssc", "p_true", "vote"] = "ssc"  # the others are ablations


class LoraConfig(_Section):
    r: Count = 32  # rank
    alpha: Count = 16  # scale, over r
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05  # on the adapter's input
    targets: tuple[str, ...] = ("q_proj", "v_proj")  # modules that get an adapter


class TrainConfig(_Section):
    learning_rate: Positive = 5e-5  # AdamW's peak; cosine over optimizer steps
    epochs: Count = 1  # passes over the examples
    batch_size: Count = 64  # sequences an optimizer step, over all workers
    micro_tokens: Count = 4096  # tokens a forward, padding included; caps the micro-batch
    max_length: Count = 2048  # longer rows are dropped and counted
    warmup_ratio: Unit = 0.0  # share of steps with a rising learning rate
    weight_decay: Annotated[float, Field(ge=0)] = 0.0  # AdamW's
    max_grad_norm: Positive = 1.0  # gradients are clipped to it
    omega: Annotated[float, Field(ge=0)] = 0.1  # weight of the generation loss
    beta: Positive = 0.25  # of the SmoothL1 calibration loss
    lora: LoraConfig = LoraConfig()
    dtype: Literal["float32", "bfloat16"] = "bfloat16"  # of the frozen weights and of compute
    zero_stage: Literal[1, 2, 3] = 2  # of DeepSpeed's ZeRO: 1, 2 or 3
    workers: Count = 1  # training processes
    max_workers: Count | None = None  # processes to grow to where nodes come; workers, by default
    gpus: Annotated[float, Field(ge=0)] = 0  # GPUs a worker
    cpus: Annotated[float, Field(ge=0)] = 1  # Ray CPUs a worker
    threads: Count | None = None  # CPU only: of a worker; its share of the machine's, by default
    checkpoint_every: Count = 50  # optimizer steps
    max_failures: Annotated[int, Field(ge=0)] = 3  # resumes from the last checkpoint

    @property
    def most(self) -> int:
        """Workers at most."""
        return self.max_workers or self.workers


class EvaluateConfig(_Section):
    num_samples: Count = 16  # N responses a test query, and the largest budget
    # these seven, by default
    policies: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "best_of_n", "self_consistency", "sc_conf", "early_stopping", "asc", "asc_conf", "esc",
    )  # fmt: skip
    # of confidences and shares; one is chosen on the calibration queries
    thresholds: Annotated[tuple[Unit, ...], Field(min_length=1)] = (
        0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99,
    )  # fmt: skip
    windows: Annotated[tuple[Count, ...], Field(min_length=1)] = (2, 3, 4, 5, 8)  # of esc
    live_queries: Annotated[int, Field(ge=0)] = 16  # answered live too, to compare with replay
    bootstrap: Count = 1000  # resamples of queries for each interval

    @model_validator(mode="after")
    def _known_policies(self) -> Self:
        for name in self.policies:
            if name not in POLICIES:
                raise ValueError(f"{name!r} is no policy{_nearest(name, POLICIES)}")
        return self


class ServeConfig(_Section):
    host: str = "127.0.0.1"  # 0.0.0.0 to answer other machines
    port: Annotated[int, Field(ge=1, le=65535)] = 8000  # of HTTP
    samples_ahead: Count = 1  # samples a request keeps in flight; extra ones are cancelled
    max_budget: Count = 64  # samples a request, at most


class TrackingConfig(_Section):
    mlflow: str | None = None  # an MLflow server or store to log runs to; none, by default
    experiment: str = "selfcal"  # what its runs are listed under


class Config(_Section):
    root: str  # where artifacts go: a directory or s3://bucket/path
    seed: int = 0  # of samples, splits, example selection, training and bootstraps
    model: ModelConfig
    data: DataConfig
    sampling: SamplingConfig = SamplingConfig()
    confidence: ConfidenceConfig = ConfidenceConfig()
    engine: EngineConfig = EngineConfig()
    examples: ExamplesConfig = ExamplesConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    serve: ServeConfig = ServeConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for key, least, most in (
            ("engine.max_count", self.engine.count, self.engine.most),
            ("train.max_workers", self.train.workers, self.train.most),
        ):
            if most < least:
                raise ValueError(f"{key} ({most}) is less than what it grows from ({least})")
        if self.train.most > self.train.batch_size:
            raise ValueError(
                f"train.batch_size ({self.train.batch_size}) has no row for each of "
                f"{self.train.most} workers"
            )
        parts, gpus = self.engine.tensor_parallel_size, self.engine.gpus
        if gpus > 1 and gpus % 1:
            raise ValueError(f"engine.gpus ({gpus:g}) is neither a share of one GPU nor whole ones")
        if parts > 1 and gpus not in (0, 1):
            raise ValueError(
                f"engine.gpus ({gpus:g}): with engine.tensor_parallel_size ({parts}) each part "
                "has a GPU of its own; set it to 1, or to 0 on CPUs"
            )
        if self.engine.batch_invariant and not self.engine.gpus:
            raise ValueError("engine.batch_invariant: vLLM has this mode on GPUs alone")
        if self.sampling.max_tokens >= self.engine.max_model_len:
            raise ValueError(
                f"sampling.max_tokens ({self.sampling.max_tokens}) leaves no room for a prompt in "
                f"engine.max_model_len ({self.engine.max_model_len})"
            )
        return self


def load(path: str, overrides: list[str] | None = None) -> Config:
    """Reads a YAML config and applies `dotted.key=value` overrides (values are YAML).

    Raises ValueError with one line for a person: the key, what is wrong, the nearest valid key.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"--config: there is no file {path}")
    try:
        raw = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: expected keys and values, such as root: runs")
    for override in overrides or []:
        _apply_override(raw, override)
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ValueError(_explain(error)) from None


def _apply_override(raw: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ValueError(f"--set {override}: expected dotted.key=value")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ValueError(f"--set {override}: the value is not YAML") from None
    node: Any = raw
    *parents, last = key.split(".")
    for part in parents:
        place = _place(node, part, override)
        if isinstance(node, dict):
            node.setdefault(place, {})
        node = node[place]
    node[_place(node, last, override)] = parsed


def _place(node: Any, part: str, override: str) -> Any:
    """The key or index that one part of a dotted key stands for."""
    if isinstance(node, dict):
        return part
    if not isinstance(node, list):
        raise ValueError(f"--set {override}: above {part} stands a value, not keys")
    if not part.isdigit() or int(part) >= len(node):
        raise ValueError(f"--set {override}: {part} is no index into {len(node)} entries")
    return int(part)


def _explain(error: ValidationError) -> str:
    """The first problem, in one line."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if problem["type"] == "extra_forbidden":
        near = _nearest(str(problem["loc"][-1]), _fields_at(problem["loc"][:-1]))
        return f"config: {key} is not a key{near}{more}"
    if problem["type"] == "missing":
        return f"config: {key} is missing{more}"
    message = problem["msg"].removeprefix("Value error, ")
    given = "" if isinstance(problem["input"], dict | BaseModel) else f", not {problem['input']!r}"
    return f"config: {key + ': ' if key else ''}{message}{given}{more}"


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    """The keys that are valid at a place in the config."""
    model: Any = Config
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        for one in (annotation, *getattr(annotation, "__args__", ())):
            if isinstance(one, type) and issubclass(one, BaseModel):
                model = one
    return list(model.model_fields)


def _nearest(word: str, choices: Any) -> str:
    close = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; valid: {', '.join(choices)}"
