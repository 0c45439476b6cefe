"""What each part of the method is worth: training with one of them changed, the others as they are.

MSE needs no loss of its own: confidences and labels lie in [0, 1], where SmoothL1 with beta = 1 is
half the squared error everywhere; with omega halved too the whole loss is half of MSE's, and with
gradients clipped at half the norm AdamW's steps are the same for both.

EDT is compared with two fixed temperatures, of which labels are sampled anew: T0, below which EDT
samples at every token, and EDT's own where the entropy is one nat.
"""

from jobs.experiments import trained
from jobs.experiments.variants import Variant
from pipelines.config import Config
from pipelines.running.dag import Step

NO_GENERATION_LOSS = Variant("no_generation_loss", ["train.omega=0"])


def variants(config: Config) -> list[Variant]:
    drawn = config.sampling
    one_nat = drawn.temperature * drawn.edt_base**drawn.edt_theta
    return [
        trained.AS_CONFIGURED,
        Variant("target_vote", ["examples.target=vote"]),
        Variant("target_p_true", ["examples.target=p_true"]),
        *(_fixed(temperature) for temperature in (drawn.temperature, one_nat)),
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


def _fixed(temperature: float) -> Variant:
    drawn = ["sampling.method=fixed", f"sampling.temperature={temperature:.3g}"]
    return Variant(f"fixed_temperature_{temperature:.3g}", drawn)


def steps(config: Config) -> list[Step]:
    return trained.steps("ablation", config, variants(config))
