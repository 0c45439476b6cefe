"""The service's and the engines' metrics of all nodes, as Prometheus reads them.

Ray exports each node's at a port of its own; here they are behind one address, without Ray's own.
"""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

_OURS = ("ray_selfcal_", "ray_serve_")


def merged(texts: Iterable[str]) -> bytes:
    """Pages of metrics as one, each family once."""
    families: dict[str, Metric] = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            if family.name.startswith(_OURS):
                known = families.setdefault(family.name, family)
                if known is not family:
                    known.samples.extend(family.samples)
    registry = CollectorRegistry()
    registry.register(_Collected(list(families.values())))
    return generate_latest(registry)


class _Collected:
    def __init__(self, families: Sequence[Metric]):
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


async def scrape() -> bytes:
    """Of the nodes that are alive and answer."""
    import asyncio

    import aiohttp
    import ray

    nodes = await asyncio.to_thread(ray.nodes)
    urls = [
        f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        for node in nodes
        if node["Alive"] and node["MetricsExportPort"]
    ]

    async def page(session: aiohttp.ClientSession, url: str) -> str:
        try:
            async with session.get(url) as response:
                return await response.text()
        except (aiohttp.ClientError, TimeoutError):  # a node that has just left
            return ""

    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        return merged(await asyncio.gather(*(page(session, url) for url in urls)))
