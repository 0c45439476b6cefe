"""Runs the workflow, locally or under `ray job submit`:

python -m jobs.run --config FILE [--set dotted.key=value ...] [--until STAGE] [--plan]

Exit status 0 only when what was asked for is complete. A bad config or bad data are one line
on standard error and exit status 2, before Ray or torch start.
"""

import argparse
import logging
import os
import sys

from pipelines import dag
from pipelines.config import Config, load


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.run", description=__doc__.split("\n")[0])
    parser.add_argument("--config", required=True, metavar="FILE", help="a YAML config")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override one key, dotted"
    )
    parser.add_argument("--until", metavar="STAGE", help="stop after this stage")
    parser.add_argument("--plan", action="store_true", help="show the steps and run nothing")
    options = parser.parse_args(arguments)
    try:
        config = load(options.config, options.set)
        return _run(config, options.until, options.plan)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(config: Config, until: str | None, plan_only: bool) -> int:
    from pipelines import pipeline

    planned = dag.plan(pipeline.steps(config, until), config.root)
    if plan_only:
        for one in planned:
            say(f"{one.state:<10}  {one.step.name:<9} {one.location.uri}")
        return 0
    if all(one.state == "done" for one in planned):
        say("Nothing to do: every step was done before.")
    else:
        pipeline.check(config)
    to_do = [one.step.name for one in planned if one.state != "done"]
    if any(name in pipeline.ON_RAY for name in to_do):
        start_ray()
    artifacts = dag.run(planned, config.root, say)
    if "report" in artifacts:
        from pipelines.report import print_table

        print_table(artifacts["report"])
        say(f"Report: {artifacts['report'].uri}/index.html")
    return 0


def start_ray() -> None:
    """Joins the cluster that the job was submitted to, or starts one on this machine."""
    import ray

    if "RAY_ADDRESS" in os.environ or "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        ray.init()  # a runtime_env here would conflict with the submitted job's
    else:
        ray.init(logging_level=logging.WARNING)


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
