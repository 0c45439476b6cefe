"""Runs the workflow, locally or under `ray job submit`:

python -m jobs.run --config FILE [--set dotted.key=value ...] [--until STAGE]
    [--plan [--tokens-per-second N] [--train-tokens-per-second N]]

Exit status 0 only when what was asked for is complete. A bad config or bad data are one line
on standard error and exit status 2, before Ray or torch start.
"""

import sys
from functools import partial

from jobs import cli, estimate
from jobs.cli import say
from jobs.estimate import Rates
from jobs.steps import all_done, carry_out, tell_plan
from pipelines.config import Config
from pipelines.running import dag, tracking


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
    rates = Rates(options.tokens_per_second, options.train_tokens_per_second)
    return cli.run(options, lambda config: _run(config, options.until, options.plan, rates))


def _run(config: Config, until: str | None, plan_only: bool, rates: Rates) -> int:
    from pipelines import pipeline

    planned = dag.plan(pipeline.steps(config, until), config.root)
    if plan_only:
        tell_plan(planned)
        for line in estimate.lines(config, planned, rates):
            say(line)
        return 0
    if all_done(planned):
        say("Nothing to do: every step was done before.")
    artifacts = carry_out(config, planned, partial(tracking.track, config))
    if "report" in artifacts:
        from pipelines.stages.report.table import print_table

        print_table(artifacts["report"])
        say(f"Report: {artifacts['report'].uri}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
