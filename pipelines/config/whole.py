"""A run's config, and what its sections have to be together."""

from typing import Self

from pydantic import model_validator

from pipelines.config.sections import (
    ConfidenceConfig,
    DataConfig,
    DrawConfig,
    EngineConfig,
    EvaluateConfig,
    ExamplesConfig,
    ModelConfig,
    SamplingConfig,
    Section,
    TrackingConfig,
    TrainConfig,
)
from pipelines.config.serving import ServeConfig
from pipelines.config.values import Seed, Uri
from pipelines.method.policies import NAMED

MOST_LORA = 512  # the largest rank of an adapter that vLLM takes


class Config(Section):
    root: Uri  # where artifacts go: a directory or s3://bucket/path
    # of samples, limits, example selection, training and bootstraps
    seed: Seed = 0
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

    @property
    def answering(self) -> DrawConfig:
        """How responses are drawn where they answer: in evaluation and by the service."""
        own = self.evaluate.sampling
        most = own.max_tokens or self.sampling.max_tokens
        return DrawConfig(**own.model_dump(exclude={"max_tokens"}), max_tokens=most)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for key, least, most in (
            ("engine.max_count", self.engine.count, self.engine.most),
            ("train.max_workers", self.train.workers, self.train.most),
        ):
            if most < least:
                raise ValueError(f"{key} ({most}) is less than what it grows from ({least})")
        if self.seed in self.train.seeds:
            raise ValueError(f"train.seeds: {self.seed} is `seed`, the first training run's")
        if self.train.most > self.train.batch_size:
            raise ValueError(
                f"train.batch_size ({self.train.batch_size}) has no row for each of "
                f"{self.train.most} workers"
            )
        if self.engine.adapter == "lora" and self.train.lora.r > MOST_LORA:
            raise ValueError(
                f"train.lora.r ({self.train.lora.r}): with engine.adapter: lora vLLM takes no more "
                f"than {MOST_LORA}; lower it, or set engine.adapter to merged"
            )
        if self.train.gpus not in (0, 1):
            raise ValueError(
                f"train.gpus ({self.train.gpus:g}): a worker trains on one GPU of its own; set it "
                "to 1, or to 0 on CPUs, and train.workers to the number of GPUs"
            )
        if self.serve.adapters and self.engine.adapter != "lora":
            raise ValueError("serve.adapters: needs engine.adapter: lora")
        if self.evaluate.records_tokens and self.confidence.kind == "yes_top20":
            # vLLM's V1 runner tells a batch either its likeliest tokens or those that are named.
            raise ValueError(
                "confidence.kind: yes_top20 goes without the confidences of tokens (of "
                "evaluate.confidences and of policies); set it to yes or yes_no"
            )
        served = self.serve.scaling.policy
        sources = {NAMED[name].source for name in self.evaluate.policies}
        if served and NAMED[served].own_tokens and NAMED[served].source not in sources:
            raise ValueError(
                f"serve.scaling.policy: {served} wants evaluate.policies to name a policy by this "
                "source, for which the run measures it"
            )
        by_tokens = [name for name in self.evaluate.policies if NAMED[name].own_tokens]
        if by_tokens and not self.data.calibration:
            raise ValueError(
                f"evaluate.policies: {by_tokens[0]} needs data.calibration, by whose queries "
                "confidences of tokens become probabilities"
            )
        if taken := {"base", "calibrated"} & set(self.serve.adapters):
            raise ValueError(f"serve.adapters: {min(taken)} is this run's own; choose another name")
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
        for key, most in (
            ("sampling.max_tokens", self.sampling.max_tokens),
            ("evaluate.sampling.max_tokens", self.answering.max_tokens),
        ):
            if most >= self.engine.max_model_len:
                raise ValueError(
                    f"{key} ({most}) leaves no room for a prompt in engine.max_model_len "
                    f"({self.engine.max_model_len})"
                )
        return self
