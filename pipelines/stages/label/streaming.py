"""How Ray Data streams the queries: the size of a block, and the settings of this stage alone."""

import logging
import math
from typing import Any

from pipelines.config import Config
from pipelines.engine.sampling import queries_at_once
from pipelines.running import cluster
from pipelines.storage.location import Location

CHECKPOINT = "_rows"  # finished rows' ids
PENDING = ".pending."  # in the name of a record whose rows are not yet written
# Ray Data's driver holds 10 KB and more of a block: so many at most, whatever the number of
# queries, but so many for each engine that it idles little while others do their last ones.
_MOST_BLOCKS, _BLOCKS_AN_ENGINE = 2_000, 32


def blocks(config: Config, total: int) -> tuple[int, int]:
    """Rows a block for so many queries in all, and the blocks that an engine holds at once.

    A block is what is checkpointed at once, and what is done again where an engine dies. A few of
    them fill an engine, and one more follows; there are some for each engine, whose share no
    other takes.
    """
    engines = config.engine.most
    at_once = queries_at_once(config.engine.max_num_seqs, config.sampling.num_samples)
    most_blocks = max(_MOST_BLOCKS, _BLOCKS_AN_ENGINE * engines)
    rows = max(1, min(at_once, total // engines) // 8, math.ceil(total / most_blocks))
    share = math.ceil(total / rows / engines)
    return rows, max(1, min(math.ceil(at_once / rows) + 1, share))


def context(out: Location) -> Any:
    """Ray Data's settings for this stage alone: finished rows are recorded, and no bars."""
    from ray.data.checkpoint import CheckpointConfig
    from ray.data.context import AutoscalingConfig

    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # says it has no bars
    # What fails is raised, to be told in a line; these two print its whole trace before that.
    for name in ("exceptions", "_internal.execution.streaming_executor_state"):
        logging.getLogger(f"ray.data.{name}").setLevel(logging.CRITICAL)
    context = cluster.data_context()
    # They ask what an actor would take, by which one more placement group would be made.
    context.issue_detectors_config.detectors = []
    context.raise_original_map_exception = True  # so that a ValueError is told as one
    # One task cuts a file of queries into blocks, and Ray fetches this many of them every tenth
    # of a second. Its own 2 made ten blocks a second, whatever the number of engines.
    context._max_num_blocks_in_streaming_gen_buffer = 64
    # An engine more wherever there is room, up to max_count, and none less before the end. Ray Data
    # grows where actors have tasks waiting, and ours are given no more than they hold.
    context.autoscaling_config = AutoscalingConfig(
        actor_pool_util_upscaling_threshold=0.01, actor_pool_util_downscaling_threshold=0
    )
    context.checkpoint_config = CheckpointConfig(
        id_column="query_id",
        checkpoint_path=(out / CHECKPOINT).uri,
        override_filesystem=out.filesystem,
        delete_checkpoint_on_success=False,
    )
    return context
