"""A run's two models asked other questions than its config's: held out and answered as its own."""

from functools import partial

from pipelines.config import Config, vary
from pipelines.method.policies import NAMED
from pipelines.running.dag import Step, reads
from pipelines.stages import evaluate
from pipelines.stages.report.replays import SC

ROLES = ("calibration", "eval")  # what the evaluate stage reads; of the first there is none


def of(config: Config, data: str) -> Config:
    """The config with other test sets, and none to calibrate or answer live, nor policies that have
    to be. data: YAML."""
    kept = [name for name in config.evaluate.policies if not NAMED[name].own_tokens]
    nothing = ["data.calibration=[]", "evaluate.live_queries=0"]
    return vary(
        config, [f"data.eval={data}", *nothing, f"evaluate.policies=[{', '.join(kept or [SC])}]"]
    )


def answered(config: Config, name: str) -> Step:
    """What both models answer to the step `held_out_NAME`."""
    own = of(config, "[]")
    inputs = reads(held_out=f"held_out_{name}", export="export")
    run = partial(evaluate.run, own)
    return Step(f"evaluate_{name}", run, evaluate.spec(own), inputs, evaluate.VERSION)
