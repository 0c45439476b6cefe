"""An experiment on variants that are trained: its last step, and its reading.

It compares confidences in the base model's responses. What a variant does to the accuracy of the
trained model's own answers, which is what the generation loss is for, is not measured: that takes
new responses of each, and a variant's config as a run of its own tells it.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from jobs.experiments import compared, reading, variants
from jobs.experiments.reading import Reading
from jobs.experiments.scores import RANKS, STATISTICS
from jobs.experiments.variants import Variant
from pipelines.config import Config, vary
from pipelines.method import metrics
from pipelines.running.dag import Step
from pipelines.storage.location import Location

AS_CONFIGURED = Variant("as_configured")  # what the others are compared with
VERSION = 4  # WQD beside AUROC
_SAID = ("Brier", *RANKS, "ECE")
OF_CONFIDENCES = (
    "Compared are confidences in the base model's responses, drawn as the config's labels are. "
    "What a variant does to the accuracy of the trained model's own answers, as the generation "
    "loss may, is not measured here."
)


def steps(name: str, config: Config, several: Sequence[Variant]) -> list[Step]:
    """Of the variants, without those that change nothing of this config."""
    several = [
        one for one in several if one == AS_CONFIGURED or vary(config, one.overrides) != config
    ]
    made = variants.steps(config, several)
    scored = [one.name for one in made if one.name.startswith("scores_")]
    spec = {
        "variants": {one.name: list(one.overrides) for one in several},
        "seed": config.seed,
        "seeds": list(config.train.seeds),
        "bootstrap": config.evaluate.bootstrap,
    }
    return [*made, reading.step(name, partial(read, config, several), spec, scored, VERSION)]


def read(config: Config, several: Sequence[Variant], inputs: Mapping[str, Location]) -> Reading:
    from jobs.experiments.picture import intervals

    seeds = variants.seeds(config)
    found = {"base": [variants.read(inputs, "base")]} | {
        one.name: [variants.read(inputs, f"{one.name}_{seed}") for seed in seeds] for one in several
    }
    queries = len(found["base"][0][0])
    weights = metrics.resample(queries, config.evaluate.bootstrap, config.seed)
    changes = {one.name: ", ".join(one.overrides) for one in several}
    title = f"Means over training runs, seeds {', '.join(map(str, seeds))} (least to most)"
    differences = compared.differences(
        "Differences of these means, paired [95% over queries and seeds]",
        found, STATISTICS, weights, AS_CONFIGURED.name,
    )  # fmt: skip
    tables = [
        compared.figures(
            f"{title} [95% over {queries} queries]", found, STATISTICS, weights, changes
        ),
        differences,
    ]
    said = [compared.sentence(differences, name, name in RANKS) for name in _SAID]
    paragraph = " ".join([*said, compared.NOTE, OF_CONFIDENCES])
    return Reading(tables, paragraph, intervals(compared.marks(differences, _SAID)))
