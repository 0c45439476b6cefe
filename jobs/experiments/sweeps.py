"""How much the settings matter: training with one of them moved, the others as they are.

Few values of each, for each is as many trainings as there are seeds. The threshold has an
experiment of its own (tau.py): it needs no training.
"""

from jobs.experiments import ablation, trained
from jobs.experiments.variants import Variant
from pipelines.config import Config
from pipelines.running.dag import Step


def variants(config: Config) -> list[Variant]:
    rate, total, omega = config.train.learning_rate, config.examples.total, config.train.omega
    most = config.sampling.num_samples
    fewer = sorted({max(1, most // 4), max(1, most // 2)})  # the first of those that are labeled
    return [
        trained.AS_CONFIGURED,
        Variant("eta_0.5", ["examples.eta=0.5"]),
        ablation.NO_GENERATION_LOSS,  # omega = 0
        Variant(f"omega_{10 * omega:.3g}", [f"train.omega={10 * omega:.3g}"]),
        *(Variant(f"samples_{number}", [f"sampling.num_samples={number}"]) for number in fewer),
        Variant("half_the_examples", [f"examples.total={total // 2}"]),
        Variant("twice_the_examples", [f"examples.total={total * 2}"]),
        Variant("learning_rate_third", [f"train.learning_rate={rate / 3:.3g}"]),
        Variant("learning_rate_triple", [f"train.learning_rate={rate * 3:.3g}"]),
    ]


def steps(config: Config) -> list[Step]:
    return trained.steps("sweeps", config, variants(config))
