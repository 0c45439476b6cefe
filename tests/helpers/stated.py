"""Replicas of the service whose engines tell vLLM's own metrics."""

import os

from pipelines.engine.protocol import Counters, Drawing
from pipelines.serving.answerer import Answerer


class Stated(Answerer.func_or_class):
    def __init__(self, *given):
        from pipelines.engine import vllm_engine

        def arguments(*given):
            return made(*given) | {"disable_log_stats": False}

        made = vllm_engine.engine_arguments
        vllm_engine.engine_arguments = arguments
        super().__init__(*given)

    async def stated(self) -> tuple[int, list[float], int]:
        """The process; its engine's running requests, waiting ones and KV cache use, told in the
        steps of one more draw and its score; and the tokens that it has drawn."""
        from vllm.v1.metrics.reader import get_metrics_snapshot

        drawing = Drawing(1, 0.0, "fixed", 1.0, 0.0, "none")
        ids = self._engine.prompts.sampling_ids("Hello.")
        await (await self._engine.draw(ids, 0, drawing, Counters())).score()
        told = {one.name: one.value for one in get_metrics_snapshot() if hasattr(one, "value")}
        names = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
        states = [told[f"vllm:{name}"] for name in names]
        return os.getpid(), states, self._engine.count.tokens
