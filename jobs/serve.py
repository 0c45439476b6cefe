"""Serves a run's calibrated model, or with --base the model that it started from:

python -m jobs.serve --config FILE [--set dotted.key=value ...] [--base]

    curl localhost:8000/answer -H 'content-type: application/json' -d '{
      "question": "What is the capital of France?",
      "policy": "early_stopping", "threshold": 0.6, "budget": 16}'

Every field of a request is described at /docs. It runs until it is interrupted.
"""

import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from jobs import cli
from jobs.cli import say
from pipelines.config import Config, load
from pipelines.running import dag

if TYPE_CHECKING:
    from ray.serve import Application

    from pipelines.serving.served import Served
    from pipelines.storage.location import Location


def main(arguments: list[str] | None = None) -> int:
    parser = cli.parser("jobs.serve", __doc__.split("\n")[0])
    parser.add_argument("--base", action="store_true", help="serve model.source as it is")
    options = parser.parse_args(arguments)
    return cli.run(options, lambda config: _serve(config, options.base))


def app(arguments: dict[str, Any]) -> "Application":
    """The application of a Serve config file (`serve deploy`, KubeRay's RayService).

    arguments: `config`, and as on the command line `set`, a list, and `base`.
    """
    from pipelines.serving.service import application

    config = load(arguments["config"], arguments.get("set", []))
    return application(config, _served(config, arguments.get("base", False)))


def _serve(config: Config, base: bool) -> int:
    from pipelines.running import cluster

    served = _served(config, base)
    say(f"Starting {', '.join([served.source, *served.adapters.values()])}")
    cluster.connect(config)
    from ray import serve

    from pipelines.serving.service import deploy

    deploy(config, served, name="answers", route="/")
    where = f"http://{config.serve.host}:{config.serve.port}"
    say(f"Answering at {where}/answer (described at {where}/docs) until interrupted")
    stop = threading.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: stop.set())
    stop.wait()
    serve.shutdown()
    return 0


def _served(config: Config, base: bool) -> "Served":
    """What to serve; ValueError where it or this installation cannot be."""
    from pipelines.running import cluster
    from pipelines.serving import served
    from pipelines.storage import models

    chosen = served.base(config) if base else served.calibrated(config, _export(config))
    cluster.check_install()
    models.check(chosen.source)
    return chosen


def _export(config: Config) -> "Location":
    """Where the run's export lies; ValueError where it is not done."""
    from pipelines import pipeline

    export = dag.plan(pipeline.steps(config, "export"), config.root)[-1]
    if export.state != "done":
        raise ValueError(
            f"{export.location.uri}: {export.state}; run `python -m jobs.run --until export` with "
            "this config first, or serve the uncalibrated model with --base"
        )
    return export.location


if __name__ == "__main__":
    sys.exit(main())
