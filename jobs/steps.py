"""What jobs.run and jobs.experiment do with the steps of a config: tell them, or carry them out."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from jobs.cli import say
from pipelines.config import Config
from pipelines.running import cluster, dag, lease
from pipelines.running.dag import Planned
from pipelines.storage.location import Location

Artifacts = Mapping[str, Location]  # by step


def tell_plan(planned: Sequence[Planned]) -> None:
    width = max(9, *(len(one.step.name) for one in planned))
    for one in planned:
        say(f"{one.state:<10}  {one.step.name:<{width}} {one.location.uri}")


def all_done(planned: Sequence[Planned]) -> bool:
    return all(one.state == "done" for one in planned)


def carry_out(
    config: Config,
    planned: Sequence[Planned],
    after: Callable[[Artifacts], object] | None = None,
    keep: Collection[str] = (),
) -> Artifacts:
    """What is not done yet, alone on the root; the artifacts of all.

    after: is given them while the root is still held, or where all was done before. keep: as
    dag.run's.
    """
    from pipelines import pipeline
    from pipelines.stages import evaluate

    def work(planned: Sequence[Planned]) -> Artifacts:
        artifacts = dag.run(planned, config.root, say, starting, keep)
        if after is not None:
            after(artifacts)
        return artifacts

    starting = partial(cluster.tell_job, config.root)
    if all_done(planned):
        return work(planned)
    pipeline.check(config)
    root = Location.of(config.root)
    with lease.hold(root):
        if cluster.is_shared():
            cluster.connect(config)
            evaluate.remove_left(root)
        # Planned again: another run may have held the root until now.
        return work(dag.plan([one.step for one in planned], config.root))
