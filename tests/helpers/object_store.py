"""Real S3 APIs over HTTP on loopback.

moto's server, behind a proxy that can misbehave; and rclone's, which keeps objects on disk and can
be killed and started again.
"""

import asyncio
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import boto3
import s3fs
from aiohttp import web
from ports import free_port
from waiting import once

BUCKET = "artifacts"
SECRET = "not-to-be-seen-anywhere"
_REFUSALS = {
    "denied": (403, "AccessDenied", "Access Denied"),
    "expired": (400, "ExpiredToken", "The provided token has expired."),
}
ERROR = '<?xml version="1.0"?><Error><Code>{}</Code><Message>{}</Message></Error>'


class Proxy:
    """Hands requests on, but for a share of them, which meet one of `faults`.

    slow_down: 503, as S3 asks for fewer requests. reset: the connection ends without an answer,
    as where a server restarts. truncated: half of a body and no more. slow: half a second late.
    denied, expired: refused, as S3 does it.
    """

    def __init__(self, target: str):
        self.target = target
        self.faults: tuple[str, ...] = ()
        self.share = 0.0
        self.met: list[str] = []
        self._random = random.Random(0)

    def misbehave(self, *faults: str, share: float = 0.2) -> None:
        self.faults, self.share = faults, share

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        fault = None
        if self.faults and self._random.random() < self.share:
            fault = self._random.choice(self.faults)
            self.met.append(fault)
        if fault == "slow_down":
            text = ERROR.format("SlowDown", "Please reduce your request rate.")
            return web.Response(status=503, text=text, content_type="application/xml")
        if fault in _REFUSALS:
            status, *told = _REFUSALS[fault]
            text = ERROR.format(*told)
            return web.Response(status=status, text=text, content_type="application/xml")
        if fault == "reset":
            assert request.transport
            request.transport.abort()
            return web.Response()
        if fault == "slow":
            await asyncio.sleep(0.5)
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method,
                self.target + request.raw_path,
                headers=request.headers,
                data=body,
                allow_redirects=False,
            ) as answer,
        ):
            content = await answer.read()
            headers = answer.headers.copy()
            headers.pop("Transfer-Encoding", None)
            response = web.StreamResponse(status=answer.status, headers=headers)
            if request.method != "HEAD":
                response.content_length = len(content)
            await response.prepare(request)
            if fault == "truncated" and request.method == "GET" and content:
                await response.write(content[: len(content) // 2])
                assert request.transport
                request.transport.abort()
                return response
            if request.method != "HEAD":
                await response.write(content)
            return response


def answers(port: int) -> bool:
    with socket.socket() as connecting:
        return connecting.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def object_store() -> Iterator[tuple[dict[str, str], Proxy]]:
    """The environment that reaches it, with an empty bucket, and the proxy in front of it."""
    port, front = free_port(), free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    proxy = Proxy(f"http://127.0.0.1:{port}")
    loop = asyncio.new_event_loop()
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)

    async def serve() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", front).start()

    def run() -> None:
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())  # who asks on is refused, and does not wait
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    try:
        once(lambda: answers(port))
        loop.run_until_complete(serve())
        thread.start()
        environment = reaching(front)
        client(environment).create_bucket(Bucket=BUCKET)
        yield environment, proxy
    finally:
        s3fs.S3FileSystem.clear_instance_cache()  # they would look for the next one here
        if thread.is_alive():
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
        server.kill()
        server.wait()


class DurableStore:
    """rclone's S3 server on a directory's files; `environment` reaches it, with an empty bucket."""

    def __init__(self, directory: Path):
        self._directory, self._port = directory, free_port()
        # Of a part of an object it tells the whole one's checksum.
        self.environment = reaching(self._port) | {
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required"
        }
        (directory / BUCKET).mkdir()

    def start(self) -> None:
        rclone = Path(sys.executable).parent / "rclone"
        self._server = subprocess.Popen(
            [rclone, "serve", "s3", self._directory, "--addr", f"127.0.0.1:{self._port}",
             "--auth-key", f"someone,{SECRET}", "--config", "", "--log-level", "ERROR"]
        )  # fmt: skip
        once(lambda: answers(self._port))

    def kill(self) -> None:
        self._server.kill()
        self._server.wait()


@contextmanager
def durable_store(directory: Path) -> Iterator[DurableStore]:
    s3fs.S3FileSystem.clear_instance_cache()  # they look where an earlier store was
    store = DurableStore(directory)
    try:
        store.start()
        yield store
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        store.kill()


def reaching(port: int) -> dict[str, str]:
    """The environment that reaches a store."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def client(environment: dict[str, str]) -> "boto3.client":
    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )


def names(environment: dict[str, str], prefix: str = "") -> set[str]:
    """Keys of everything that lies there."""
    pages = (
        client(environment).get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    )
    return {one["Key"] for page in pages for one in page.get("Contents", ())}


def plain_environment() -> dict[str, str]:
    """This process's, without what would reach an object store."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
