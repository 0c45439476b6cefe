"""The config's sections: keys, types and defaults, as frozen pydantic models.

Field comments are the config reference (jobs/configs/README.md lists the same keys).
"""

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    field_validator,
    model_validator,
)

from pipelines.config.values import (
    Count,
    Date,
    Different,
    Distinct,
    NotNegative,
    Positive,
    Seed,
    Several,
    Some,
    Template,
    Text,
    Unit,
    Uri,
    fields_of,
    nearest,
)
from pipelines.method.answers import Kind
from pipelines.method.policies import NAMED
from pipelines.method.template import PLAIN, RESERVED, Chat
from pipelines.method.token_confidences import SOURCES
from pipelines.storage.text import short


class Strict(BaseModel):
    """True is no number, and neither is "32"; nor is .inf where one is wanted."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class Section(Strict):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class ModelConfig(Section):
    source: Uri  # a directory, a hub id, s3://..., or builtin:smollm2-135m
    template: dict[str, JsonValue] = {}  # variables of its chat template, e.g. enable_thinking
    system: Text | None = None  # a system prompt; the template's own, by default
    # what a chat template is told that asks for today
    date: Date = PLAIN.date

    @property
    def chat(self) -> Chat:
        return Chat(self.template, self.system, self.date)

    @field_validator("template")
    @classmethod
    def _own_variables(cls, template: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if taken := sorted(RESERVED & set(template)):
            raise ValueError(f"{taken[0]}: a rendering sets this itself")
        return template


# What the results of several data sets are listed under.
IN_DOMAIN, OUT_OF_DOMAIN = GROUPS = "in_domain", "out_of_domain"


class DatasetConfig(Section):
    """An entry of data.train, data.calibration or data.eval."""

    name: Text  # a built-in set, a published one, or jsonl: one's own
    split: Text = "train"  # train, calibration or test
    limit: Count | None = None  # so many rows, the seed's, or all that there are
    path: Uri | None = None  # a file, folder, pattern or URI, in the publisher's fields
    question: Text = "question"  # jsonl: the field of the question
    prompt: Template | None = None  # jsonl: in its place a text with fields, "{question} {context}"
    system: Template | None = None  # jsonl: a system prompt, which may have fields in it
    answer: Text = "answer"  # jsonl: the field of the answer
    answer_base: Literal[0, 1] | None = None  # jsonl: what numbers count an option's choices from
    # jsonl: the field of an option's choices, or [A, B], one field each; the question's, else
    choices: Text | Several[Text] | None = None
    kind: Kind = "text"  # jsonl: how answers compare
    label: Text | None = None  # what results are listed under; the name, by default

    @property
    def title(self) -> str:
        return self.label or self.name

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.label in GROUPS:
            raise ValueError(f"label: {self.label} is for the results of several; take another")
        if self.choices is not None and self.kind != "option":
            raise ValueError("choices are of kind: option")
        if self.answer_base is not None and self.kind != "option":
            raise ValueError("answer_base is of kind: option")
        if isinstance(self.choices, tuple) and len(set(self.choices)) < max(2, len(self.choices)):
            raise ValueError("choices: expected a field each for two or more, none of them twice")
        if self.prompt is not None and self.question != "question":
            raise ValueError("question: leave it out, for prompt names the fields itself")
        if self.prompt is not None and not fields_of(self.prompt):
            raise ValueError('prompt: names no field; write one in braces, as "{question}"')
        for key in ("question", "prompt", "system", "answer", "answer_base", "choices", "kind"):
            default = type(self).model_fields[key].default
            if self.name != "jsonl" and getattr(self, key) != default:
                raise ValueError(f"{key}: of name: jsonl alone")
        return self


class DataConfig(Section):
    train: Some[DatasetConfig]  # labeled and trained on
    calibration: Several[DatasetConfig] = ()  # thresholds are chosen here
    eval: Several[DatasetConfig] = ()  # results are reported on

    @model_validator(mode="after")
    def _files_have_titles(self) -> Self:
        entries = (*self.train, *self.calibration, *self.eval)
        own = {str(one.path) for one in entries if one.name == "jsonl" and not one.label}
        if len(own) > 1:
            raise ValueError(  # a title tells what is in domain
                f"{' and '.join(sorted(own))} would be listed as one data set, jsonl; give each a "
                "label, an equal one to the files of one set"
            )
        return self


Method = Literal["edt", "fixed"]
Temperature = Annotated[float, Field(gt=0, le=1000)]


class _EdtConfig(Section):
    edt_base: Annotated[float, Field(ge=0.001, le=1)] = 0.8  # N_edt
    edt_theta: Annotated[float, Field(ge=0, le=1000)] = 1.0  # theta of EDT
    compat: Literal["none", "paper_code"] = "none"  # paper_code: its entropy, without log Z


class DrawConfig(_EdtConfig):  # how a response is drawn
    max_tokens: Count = 1024  # of a response
    method: Method = "edt"  # entropy-based dynamic temperature, or a fixed one
    temperature: Temperature = 0.8  # T0; with method fixed, the temperature


class SamplingConfig(DrawConfig):  # of the label stage: what is trained on
    num_samples: Count = 32  # N responses a query


class EvaluateSamplingConfig(_EdtConfig):  # of evaluation and serving: Config.answering
    max_tokens: Count | None = None  # of a response; sampling.max_tokens, by default
    method: Method = "fixed"  # the paper's: a fixed temperature; or edt
    temperature: Temperature = 1.0  # the paper's; with method edt, T0


class ConfidenceConfig(Section):
    kind: Literal["yes", "yes_top20", "yes_no"] = "yes"  # p(Yes); Yes in the top 20; a share
    question: Text | None = None  # what to ask after a response; the paper's, by default


class EngineConfig(Section):
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"  # of weights and KV cache
    count: Count = 1  # engines in the label stage, replicas in evaluate
    max_count: Count | None = None  # engines to grow to where nodes come; count, by default
    gpus: NotNegative = 0  # GPUs a part; a share of one fits more engines
    cpus: NotNegative = 1  # Ray CPUs an engine
    threads: Count | None = None  # CPU only: of an engine; all the machine's, by default
    tensor_parallel_size: Count = 1  # parts that one model is split into
    max_num_seqs: Count = 256  # sequences in a batch
    max_num_batched_tokens: Count = 4096  # tokens in a forward
    max_model_len: Count = 4096  # prompt, response and confidence turn together
    adapter: Literal["merged", "lora"] = "merged"  # in the weights, or applied at each token
    block_size: Count | None = None  # KV block; on CPU 32 is the least, and 128 the default
    # of its GPU or share of one, for weights and KV cache
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.9
    kv_cache_gib: Positive | None = None  # CPU only: KV cache; most of the memory, by default
    enforce_eager: bool = False  # do not compile the model
    batch_invariant: bool = False  # GPU only: vLLM's mode of equal sums in any batch; slower
    trust_remote_code: bool = False  # run code that a model brings
    max_restarts: Annotated[int, Field(ge=0)] = 3  # of one engine, before the run fails

    @property
    def most(self) -> int:
        """Engines at most."""
        return self.max_count or self.count


class ExamplesConfig(Section):
    total: Count = 100_000  # examples to train on; fewer where the labels have fewer
    generation_ratio: Unit = 0.7  # share of generation examples; 0.8 for Qwen and R1
    eta: Unit = 0.75  # generation examples want SSC > eta
    # own: each pool its own; joint: the calibration loss everywhere, both above eta
    loss: Literal["own", "joint"] = "own"
    # of calibration examples: as many from each bin of SSC, these weighted, or as they come
    draw: Literal["even", "weighted", "natural"] = "weighted"
    bin_width: Annotated[float, Field(ge=0.001, le=1)] = 0.05  # of SSC; 1.0 has a bin of its own
    quotas: bool = True  # as many from each data set, where it has them
    target: Literal["ssc", "p_true", "vote"] = "ssc"  # the others are ablations


class LoraConfig(Section):
    r: Count = 32  # rank
    alpha: Count = 16  # scale, over r
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05  # on the adapter's input
    targets: Distinct[Text] = ("q_proj", "v_proj")  # modules that get an adapter


class TrainConfig(Section):
    learning_rate: Positive = 5e-5  # AdamW's peak; cosine over optimizer steps
    epochs: Count = 1  # passes over the examples
    batch_size: Count = 64  # sequences a step, over all workers; the public script has 256
    micro_tokens: Count = 4096  # tokens a forward, padding included; caps the micro-batch
    max_length: Count = 2048  # longer rows are dropped and counted
    warmup_ratio: Unit = 0.0  # share of steps with a rising learning rate
    weight_decay: NotNegative = 0.0  # AdamW's; the public script has 0.01
    max_grad_norm: Positive = 1.0  # gradients are clipped to it; the public script's are not
    omega: NotNegative = 0.1  # weight of the generation loss
    beta: Positive = 0.25  # of the SmoothL1 calibration loss
    lora: LoraConfig = LoraConfig()
    dtype: Literal["float32", "bfloat16"] = "bfloat16"  # of all but the adapter, float32 always
    zero_stage: Annotated[int, Field(ge=1, le=3)] = 2  # of DeepSpeed's ZeRO: 1, 2 or 3
    workers: Count = 1  # training processes
    max_workers: Count | None = None  # processes to grow to where nodes come; workers, by default
    gpus: NotNegative = 0  # 1: a worker trains on a GPU of its own
    cpus: NotNegative = 1  # Ray CPUs a worker
    threads: Count | None = None  # CPU only: of a worker; its share of the machine's, by default
    checkpoint_every: Count = 50  # optimizer steps
    max_failures: Annotated[int, Field(ge=0)] = 3  # resumes from the last checkpoint
    seeds: Different[Seed] = ()  # of more training runs, to report how far they differ

    @property
    def most(self) -> int:
        """Workers at most."""
        return self.max_workers or self.workers


def _each_of(known: Collection[str], names: tuple[str, ...], what: str) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise ValueError(f"{short(name)!r} is no {what}{nearest(name, known)}")
    return names


class EvaluateConfig(Section):
    num_samples: Count = 16  # N responses a test query, and the largest budget
    sampling: EvaluateSamplingConfig = EvaluateSamplingConfig()
    # these seven, by default; also cges, reasc, cisc, asc_beta, esc_sliding, early_stopping_best,
    # early_stopping_vote, early_stopping_last; and any that needs confidences, by those of a source
    # beside P(True): early_stopping@mean_logprob
    policies: Distinct[Text] = (
        "best_of_n", "self_consistency", "sc_conf", "early_stopping", "asc", "asc_conf", "esc",
    )  # fmt: skip
    # beside P(True), for the report to compare: mean_logprob, tail_entropy, lowest_group
    confidences: Different[Text] = ()
    group_size: Count = 2048  # tokens of lowest_group's groups, and of tail_entropy's tail
    # of confidences and shares; by default quantiles of the calibration queries', and a few shares
    thresholds: Distinct[Unit] | None = None
    windows: Distinct[Count] = (2, 3, 4, 5, 8)  # esc's thresholds, to choose from
    orders: Count = 100  # of a query's samples, at random; at least so many are averaged
    live_queries: Annotated[int, Field(ge=0)] = 16  # answered live too, to compare with replay
    bootstrap: Count = 1000  # resamples of queries for each interval

    @field_validator("policies")
    @classmethod
    def _known(cls, policies: tuple[str, ...]) -> tuple[str, ...]:
        return _each_of(NAMED, policies, "policy")

    @field_validator("confidences")
    @classmethod
    def _sources(cls, confidences: tuple[str, ...]) -> tuple[str, ...]:
        return _each_of(SOURCES, confidences, "such source")

    @property
    def records_tokens(self) -> bool:
        """Whether responses are recorded with the confidences of their own tokens."""
        return bool(self.confidences) or any(NAMED[name].own_tokens for name in self.policies)


class TrackingConfig(Section):
    mlflow: Uri | None = None  # an MLflow server or store to log runs to; none, by default
    experiment: Text = "selfcal"  # what its runs are listed under
