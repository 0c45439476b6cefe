"""The service's and the engines' metrics of all nodes, as Prometheus reads them.

Ray exports each node's at a port of its own; here they are behind one address, without Ray's own.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

_OURS = ("ray_selfcal_", "ray_serve_")
_FRESH = 5.0  # seconds for which a page is given again; Ray's own are as old


def merged(pages: Iterable[str]) -> bytes:
    """Pages of metrics as one, each family once."""
    families: dict[tuple[str, str], Metric] = {}
    for page in pages:
        for family in text_string_to_metric_families("\n".join(_ours(page))):
            known = families.setdefault((family.name, family.type), family)
            if known is not family:
                known.samples.extend(family.samples)
    registry = CollectorRegistry()
    registry.register(_Collected(list(families.values())))
    return generate_latest(registry)


def _ours(page: str) -> Iterator[str]:
    """Before they are parsed, which takes seconds of a large cluster's pages."""
    for line in page.splitlines():
        name = line.split(maxsplit=3)[2] if line.startswith(("# HELP ", "# TYPE ")) else line
        if name.startswith(_OURS):
            yield line


class _Collected:
    def __init__(self, families: Sequence[Metric]):
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


class Scrape:
    """The same page for all who ask within seconds."""

    def __init__(self) -> None:
        self._page, self._read = b"", -_FRESH
        self._reading = asyncio.Lock()

    async def page(self) -> bytes:
        async with self._reading:
            if time.monotonic() - self._read > _FRESH:
                self._page = await asyncio.to_thread(merged, await _pages())
                self._read = time.monotonic()
            return self._page


async def _pages() -> list[str]:
    """Of the nodes that are alive and answer."""
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
                return await response.text() if response.status == 200 else ""
        except (aiohttp.ClientError, TimeoutError):  # a node that has just left
            return ""

    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        return await asyncio.gather(*(page(session, url) for url in urls))
