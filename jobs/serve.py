"""Serves a run's calibrated model, or with --base the model that it started from:

python -m jobs.serve --config FILE [--set dotted.key=value ...] [--port N] [--base]

Policies stop at the thresholds that the run's report chose for the model that is served; where the
report is not done, a request names its own.

    curl localhost:8000/v1/chat/completions -H 'content-type: application/json' -d '{
      "messages": [{"role": "user", "content": "What is the capital of France?"}],
      "scaling": {"kind": "text", "budget": 16}}'

Every field of a request is described at /docs. It runs until it is interrupted, and then finishes
what it has. API keys are read from $SELFCAL_API_KEYS and serve.api_keys_file; at another address
than this machine's own it wants some.
"""

import signal
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from jobs import cli
from jobs.cli import say
from pipelines.config import Config, load
from pipelines.running import dag

if TYPE_CHECKING:
    from ray.serve import Application

    from pipelines.serving.calibration import Curve
    from pipelines.serving.served import Served


def main(arguments: list[str] | None = None) -> int:
    parser = cli.parser("jobs.serve", __doc__.split("\n")[0])
    parser.add_argument("--base", action="store_true", help="serve model.source as it is")
    parser.add_argument("--port", help="of HTTP; short for --set serve.port=N")
    options = parser.parse_args(arguments)
    if options.port is not None:
        options.set.append(f"serve.port={options.port}")
    return cli.run(options, lambda config: _serve(config, options.base))


class Arguments(BaseModel):
    """Of the application: as on the command line, and without_keys, where only those can ask who
    may. Where it answers is Serve's to say, so it wants API keys else."""

    model_config = ConfigDict(extra="forbid")

    config: str
    set: list[str] = []
    base: bool = False
    without_keys: bool = False


def app(arguments: Arguments) -> "Application":
    """The application of `serve run`, a Serve config file, and KubeRay's RayService.

    ValueError where it has no keys, or the model is not there.
    """
    from pipelines.serving import keys
    from pipelines.serving.service import application

    config = load(arguments.config, arguments.set)
    digests = keys.read(config.serve)
    if not digests and not arguments.without_keys:
        raise ValueError(
            f"no API keys: set ${keys.VARIABLE} or serve.api_keys_file, or the argument "
            "without_keys to true where only those can ask who may"
        )
    return application(config, served(config, arguments.base), digests)


def _serve(config: Config, base: bool) -> int:
    from pipelines.running import cluster
    from pipelines.serving import keys

    digests = keys.read(config.serve)
    keys.check_wanted(config.serve.host, digests)
    chosen = served(config, base)
    say(f"Starting {', '.join([chosen.source, *chosen.adapters.values()])}")
    cluster.connect(config)
    from ray import serve

    from pipelines.serving.service import address, deploy, removed_on_failure

    ingress, _ = deploy(config, chosen, "answers", "/", digests)
    host, port = address()
    where = f"http://{host}:{port}"
    say(f"Answering at {where}/v1 (described at {where}/docs) until interrupted")
    stop = threading.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: stop.set())
    stop.wait()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.default_int_handler)
    say("Finishing what is under way; a second Ctrl-C ends it at once")
    with removed_on_failure("answers"):
        ingress.drain.remote().result()
    serve.delete("answers")
    if not serve.status().applications:  # of others, on a Serve that ran before
        serve.shutdown()
    return 0


def served(config: Config, base: bool) -> "Served":
    """What to serve, with the thresholds that the run's report chose for it.

    ValueError where the model is not there, or this installation cannot serve it.
    """
    from pipelines import pipeline
    from pipelines.running import cluster
    from pipelines.serving.reliability import reliability
    from pipelines.serving.served import base_model, calibrated_model
    from pipelines.storage import models
    from pipelines.storage.schemas import MODELS

    # Without test sets a run ends at the export.
    steps = pipeline.steps(config, None if config.data.eval else "export")
    planned = {one.step.name: one for one in dag.plan(steps, config.root)}
    export = planned["export"]
    if not base and export.state != "done":
        raise ValueError(
            f"{export.location.uri}: {export.state}; run `python -m jobs.run --until export` with "
            "this config first, or serve the uncalibrated model with --base"
        )
    chosen = base_model(config) if base else calibrated_model(config, export.location)
    cluster.check_install()
    models.check(chosen.source)
    report = planned.get("report")
    names = [name for name in chosen.names if name in MODELS]
    curves = {name: _curves(report, name) for name in names}
    if report is None or report.state != "done":
        return replace(chosen, curves=curves)
    found = {name: reliability(report.location, name) for name in names}
    return replace(chosen, curves=curves, reliability=found)


def _curves(report: dag.Planned | None, model: str) -> "dict[str, Curve]":
    from pipelines.serving.calibration import for_fallbacks, measured

    found = {}
    why = "data.eval is empty, so the run has no report"
    if report is not None:
        why = f"{report.location.uri}: {report.state}"
        if report.state == "done":
            found = measured(report.location, model)
            why = f"{report.location.uri} chose none, for data.calibration is empty"
    chosen = [
        f"{policy} {curve.threshold:g}"
        for policy, curve in found.items()
        if curve.threshold is not None
    ]
    if chosen:
        say(f"Thresholds of the {model} model, where a request names none: {', '.join(chosen)}")
    else:
        say(f"No thresholds are measured ({why}): a request must name its own")
    return for_fallbacks(found)


if __name__ == "__main__":
    sys.exit(main())
