"""Records a run of the real service for the page to play without one: assets/recorded.js.

python -m pipelines.serving.page.record URL --question QUESTION [--scaling JSON] [--seed N]
    [--model NAME]

URL is where the page is. What is in the repository was recorded on the quickstart's run:

    python -m jobs.serve --config jobs/configs/quickstart.yaml
    python -m pipelines.serving.page.record http://127.0.0.1:8000/ \\
        --question "What is 30 / 10? Answer with just the number." \\
        --scaling '{"policy": "early_stopping", "budget": 16, "kind": "number"}'
"""

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from typing import Any
from urllib.request import Request, urlopen

from pipelines.serving.page import FOLDER

FILE = FOLDER / "assets" / "recorded.js"


def record(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """The chunks of a streamed completion, each with the milliseconds since the request was sent,
    and what the server tells of itself."""
    with urlopen(f"{url}about") as response:
        about = json.load(response)
    sent = body | {"stream": True, "stream_options": {"include_usage": True}}
    asked = Request(
        f"{url}v1/chat/completions",
        json.dumps(sent).encode(),
        {"content-type": "application/json"},
    )
    begin, chunks = time.monotonic(), []
    with urlopen(asked) as response:
        for line in response:
            if line.startswith(b"data: {"):
                elapsed = round(1000 * (time.monotonic() - begin), 1)
                chunks.append([elapsed, json.loads(line[len(b"data: ") :])])
    day = datetime.now(UTC).strftime("%d %B %Y").lstrip("0")
    return {"recorded": day, "about": about, "request": body, "chunks": chunks}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("pipelines.serving.page.record")
    parser.add_argument("url")
    parser.add_argument("--question", required=True)
    parser.add_argument("--scaling", type=json.loads, default={})
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="calibrated")
    options = parser.parse_args(arguments)
    body = {
        "model": options.model,
        "messages": [{"role": "user", "content": options.question}],
        "seed": options.seed,
        "scaling": options.scaling,
    }
    made = record(options.url.rstrip("/") + "/", body)
    FILE.write_text(f"window.RECORDED = {json.dumps(made, separators=(',', ':'))};\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
