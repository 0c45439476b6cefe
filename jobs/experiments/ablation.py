"""What each part of the method is worth: training with one of them changed, the others as they are.

MSE needs no loss of its own: confidences and labels lie in [0, 1], where SmoothL1 with beta = 1 is
half the squared error everywhere; with omega halved too the whole loss is half of MSE's, and with
gradients clipped at half the norm AdamW's steps are the same for both.

EDT is compared with a fixed temperature, T0, below which it samples at every token; labels are
sampled anew for it. A config whose temperature is fixed is compared with EDT of that T0. All
variants are compared on responses that are drawn as the config's labels are, which favours the
config's own way to draw: an adapter that learned from labels drawn otherwise is asked of responses
unlike those.
"""

from jobs.experiments import trained
from jobs.experiments.variants import Variant
from pipelines.config import Config
from pipelines.running.dag import Step

NO_GENERATION_LOSS = Variant("no_generation_loss", ["train.omega=0"])


def variants(config: Config) -> list[Variant]:
    return [
        trained.AS_CONFIGURED,
        Variant("target_vote", ["examples.target=vote"]),
        Variant("target_p_true", ["examples.target=p_true"]),
        _drawn_otherwise(config),
        Variant(
            "mse",
            [
                "train.beta=1.0",
                f"train.omega={config.train.omega / 2}",
                f"train.max_grad_norm={config.train.max_grad_norm / 2}",
            ],
        ),
        NO_GENERATION_LOSS,
        Variant("draw_even", ["examples.draw=even"]),
        Variant("draw_weighted", ["examples.draw=weighted"]),
        Variant(
            "paper_text",
            ["examples.loss=joint", "examples.draw=even", "examples.generation_ratio=0.7"],
        ),
    ]


def _drawn_otherwise(config: Config) -> Variant:
    drawn = config.sampling
    if drawn.method == "fixed":
        return Variant("edt", ["sampling.method=edt"])
    return Variant(f"fixed_temperature_{drawn.temperature:.3g}", ["sampling.method=fixed"])


def steps(config: Config) -> list[Step]:
    return trained.steps("ablation", config, variants(config))
