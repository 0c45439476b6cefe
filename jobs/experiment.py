"""Runs an experiment of the study, locally or under `ray job submit`:

python -m jobs.experiment NAME --config FILE [--set dotted.key=value ...] [--plan]

It is the workflow of jobs.run, over the same root, with steps of its own behind: what is finished
there is taken, and variants of the config are trained beside it. It ends in tables, a picture and a
paragraph, in an artifact of its own. jobs/experiments/README.md says what each one asks.
"""

import importlib
import sys

from jobs import cli
from jobs.cli import say
from jobs.steps import all_done, carry_out, tell_plan
from pipelines.config import Config
from pipelines.config.values import nearest
from pipelines.running import dag
from pipelines.storage.location import Location

NAMES = ("calibration", "tau", "cost", "ablation", "sweeps", "robustness", "adversarial")


def main(arguments: list[str] | None = None) -> int:
    parser = cli.parser("jobs.experiment", __doc__.split("\n")[0])
    parser.add_argument("name", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--plan", action="store_true", help="show the steps and run nothing")
    options = parser.parse_args(arguments)
    return cli.run(options, lambda config: _run(config, options.name, options.plan))


def _run(config: Config, name: str, plan_only: bool) -> int:
    from pipelines import pipeline

    if name not in NAMES:
        raise ValueError(f"{name!r} is no experiment{nearest(name, NAMES)}")
    steps = importlib.import_module(f"jobs.experiments.{name}").steps(config)
    planned = dag.plan(steps, config.root)
    if plan_only:
        tell_plan(planned)
        if not all_done(planned):
            pipeline.check_named(config)
        return 0
    # An experiment's config may differ from the run's, as study.yaml does: the root is the run's.
    artifacts = carry_out(config, planned, keep=[one.name for one in pipeline.steps(config)])
    _tell(artifacts[planned[-1].step.name])
    return 0


def _tell(made: Location) -> None:
    from jobs.experiments.reading import PICTURE, READING, SECONDS

    say("\n" + (made / READING).read_text())
    if (made / SECONDS).exists():
        say(f"Times, of this machine: {made.uri}/{SECONDS}")
    say(f"Picture: {made.uri}/{PICTURE}")


if __name__ == "__main__":
    sys.exit(main())
