"""What an engine does, in Ray's metrics, which Prometheus scrapes from every node.

`cluster/grafana-dashboard.json` draws them. All carry a tag `stage`, and Ray's own of the node
and the process.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ray.util.metrics import Counter, Gauge

COUNTERS = {
    "selfcal_queries": "queries that are done",
    "selfcal_samples": "responses that were drawn",
    "selfcal_generated_tokens": "tokens of responses",
    "selfcal_prompt_tokens": "tokens of prompts that were computed",
    "selfcal_scored_tokens": "tokens that were computed for confidences",
    "selfcal_cached_tokens": "tokens that came from the prefix cache or a session",
    "selfcal_engine_starts": "engines that were started; more than there are means restarts",
}
IN_FLIGHT = "selfcal_queries_in_flight"


class EngineMetrics:
    """Of one engine, from its start."""

    def __init__(self, stage: str):
        self._counters = {
            name: Counter(name, description, ("stage",)) for name, description in COUNTERS.items()
        }
        self._in_flight = Gauge(IN_FLIGHT, "queries that an engine holds", ("stage",))
        for metric in (*self._counters.values(), self._in_flight):
            metric.set_default_tags({"stage": stage})
        self._held = 0
        self._counters["selfcal_engine_starts"].inc()

    @contextmanager
    def query(self) -> Iterator[None]:
        """Counts a query as in flight."""
        self._hold(1)
        try:
            yield
        finally:
            self._hold(-1)

    def done(self, samples: int, counters: Mapping[str, Any]) -> None:
        """A query is done: its samples, and its counters (schemas.COUNTERS)."""
        counted = {f"selfcal_{name}": value for name, value in counters.items()}
        for name, value in {"selfcal_queries": 1, "selfcal_samples": samples, **counted}.items():
            if name in self._counters and value:
                self._counters[name].inc(value)

    def _hold(self, more: int) -> None:
        self._held += more
        self._in_flight.set(self._held)
