"""Runs the workflow, locally or under `ray job submit`:

python -m jobs.run --config FILE [--set dotted.key=value ...] [--until STAGE]
    [--plan [--tokens-per-second N] [--train-tokens-per-second N]]

Exit status 0 only when what was asked for is complete. A bad config or bad data are one line
on standard error and exit status 2, before Ray or torch start.
"""

import sys
from collections.abc import Sequence
from functools import partial

from jobs import cli, estimate
from jobs.cli import say
from jobs.estimate import Rates
from jobs.steps import Artifacts, all_done, carry_out, tell_plan
from pipelines.config import Config
from pipelines.running import dag, tracking
from pipelines.running.dag import Planned
from pipelines.storage.errors import explain


def main(arguments: list[str] | None = None) -> int:
    parser = cli.parser("jobs.run", __doc__.split("\n")[0])
    parser.add_argument("--until", metavar="STAGE", help="stop after this stage")
    parser.add_argument("--plan", action="store_true", help="show the steps and run nothing")
    parser.add_argument(
        "--tokens-per-second", type=float, metavar="N", help="of an engine, to plan hours"
    )
    parser.add_argument(
        "--train-tokens-per-second", type=float, metavar="N", help="of a training worker"
    )
    options = parser.parse_args(arguments)

    def job(config: Config) -> int:
        rates = Rates(options.tokens_per_second, options.train_tokens_per_second)
        if options.plan:
            return _plan(config, options.until, rates)
        if rates.named:
            raise ValueError(f"{next(iter(rates.named))}: it is for --plan; name both or neither")
        return _run(config, options.until)

    return cli.run(options, job)


def _plan(config: Config, until: str | None, rates: Rates) -> int:
    """The steps, and what they will take: that is told where the root cannot be read, too.

    ValueError at last where the config names what no run could take.
    """
    from pipelines import pipeline

    steps = pipeline.steps(config, until)
    planned: Sequence[Planned] = ()  # then all queries are to be counted by the config
    try:
        planned = dag.plan(steps, config.root)
        tell_plan(planned)
    except Exception as error:  # storage's failures have no base class; others are raised again
        if (why := explain(error)) is None:
            raise
        say(f"steps: not known, for {config.root} cannot be read: {why}")
    for line in estimate.lines(config, planned, rates):
        say(line)
    if not all_done(planned):
        pipeline.check_named(config)
    return 0


def _run(config: Config, until: str | None) -> int:
    from pipelines import pipeline

    planned = dag.plan(pipeline.steps(config, until), config.root)
    if all_done(planned):
        say("Nothing to do: every step was done before.")
    carry_out(config, planned, partial(_tell, config))
    return 0


def _tell(config: Config, artifacts: Artifacts) -> None:
    """What came out, here and in a store of runs, which may be away."""
    if "report" in artifacts:
        from pipelines.stages.report.table import print_table

        print_table(artifacts["report"])
        say(f"Report: {artifacts['report'].uri}/index.html")
    tracking.track(config, artifacts)


if __name__ == "__main__":
    sys.exit(main())
