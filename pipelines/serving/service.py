"""The Ray Serve app: one ingress, and a replica for each engine."""

import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.handle import DeploymentHandle

from pipelines.config import Config
from pipelines.engine.sampling import queries_at_once
from pipelines.running import placement
from pipelines.running.board import Board
from pipelines.serving import keys
from pipelines.serving.answerer import Answerer
from pipelines.serving.gate import full
from pipelines.serving.ingress import Ingress
from pipelines.serving.served import Served

_QUIET = {"log_level": "WARNING", "enable_access_log": False}
_DRAINED = 600.0  # seconds that a replica which is about to leave has for its requests
_SLACK = 5.0  # more of them, in which what a deadline ended is told


def application(
    config: Config, served: Served, digests: Sequence[bytes] = (), board: Board | None = None
) -> serve.Application:
    """Replicas that answer with a model: engine.count, or more by load up to max_count.

    digests: of the API keys that may ask. board: where replicas post what they draw.
    """
    engine = config.engine
    replicas: dict[str, Any] = {"num_replicas": engine.count}
    if engine.most > engine.count:
        bounds = {"min_replicas": engine.count, "max_replicas": engine.most}
        replicas = {"autoscaling_config": bounds | {"target_ongoing_requests": full(config)}}
    leaving = {"graceful_shutdown_timeout_s": (config.serve.deadline or _DRAINED) + _SLACK}
    answerer = Answerer.options(  # type: ignore[attr-defined]
        **replicas,
        # A batching engine wants many requests at once; Serve's default is 5.
        max_ongoing_requests=max(
            engine.max_num_seqs,
            queries_at_once(engine.max_num_seqs, config.evaluate.num_samples),
        ),
        max_queued_requests=config.serve.max_queue,
        **placement.replica(engine),
        **leaving,
        health_check_timeout_s=120,
        logging_config=_QUIET,
    )
    ingress = Ingress.options(  # type: ignore[attr-defined]
        num_replicas=1,
        max_ongoing_requests=2**31 - 1,  # it has limits of its own
        ray_actor_options={"num_cpus": 0},  # so that engines have all of a small machine
        max_surge_percent=100,  # a new one is there before the old one finishes what it has
        **leaving,
        logging_config=_QUIET,
    )
    return ingress.bind(config, served, tuple(digests), answerer.bind(config, served, board))


def address() -> tuple[str, int]:
    """Host and port of the Serve that runs."""
    client = _get_global_client()
    assert client, "or it raises"
    return client.http_config.host, client.http_config.port


def _check_free(host: str, port: int) -> None:
    """ValueError where another program answers there: Serve would share its requests, unasked."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of one that has just ended
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ValueError(
                f"serve.port: at {host}:{port} nothing more can answer ({error.strerror}); set "
                "another port or host"
            ) from None


@contextmanager
def removed_on_failure(name: str) -> Iterator[None]:
    """An application that would outlive this process, on a cluster that it joined, and hold its
    GPUs: taken away, without waiting for what it has under way."""
    try:
        yield
    except BaseException:
        with suppress(Exception):  # as of a cluster that is gone, of which the first one tells
            serve.delete(name, _blocking=False)
        raise


def deploy(
    config: Config,
    served: Served,
    name: str,
    route: str,
    digests: Sequence[bytes] = (),
    board: Board | None = None,
) -> tuple[DeploymentHandle, DeploymentHandle]:
    """Runs the application under a route; returns handles of the ingress and of the engines when
    they are ready.

    ValueError where its replicas do not start with this config, where others can ask without a key,
    and where its port is another's.
    """
    engine = config.engine
    placement.tell_if_short("engine.count", engine.count, placement.bundles(engine))
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    host, port = config.serve.host, config.serve.port
    runs = _get_global_client(raise_if_no_controller_running=False) is not None
    if runs and address() != (host, port) and not serve.status().applications:
        serve.shutdown()  # as an evaluation leaves it; one that answers others stays where it is
        runs = False
    if not runs:
        _check_free(host, port)
    serve.start(http_options={"host": host, "port": port}, logging_config=_QUIET)
    keys.check_wanted(address()[0], digests)
    app = application(config, served, digests, board)
    others = name in serve.status().applications  # of a service that ran before
    with nullcontext() if others else removed_on_failure(name):
        try:
            ingress = serve.run(app, name=name, route_prefix=route)
        except RuntimeError:  # it names no reason; the status of the deployments ends with it
            for deployment in serve.status().applications[name].deployments.values():
                *_, reason = deployment.message.strip().splitlines() or [""]
                if reason.startswith("ValueError: "):
                    raise ValueError(reason.removeprefix("ValueError: ")) from None
            raise
    return ingress, serve.get_deployment_handle("Answerer", name)
