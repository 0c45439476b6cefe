"""What the jobs' command lines share: --config, --set, and how errors are told."""

import argparse
import sys
from collections.abc import Callable

from pipelines.config import Config, load
from pipelines.running import memory
from pipelines.storage import errors


def parser(module: str, description: str) -> argparse.ArgumentParser:
    """A parser with --config and --set; `module` is what follows `python -m`."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    made.add_argument("--config", required=True, metavar="FILE", help="a YAML config")
    made.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override one key, dotted"
    )
    return made


def run(options: argparse.Namespace, job: Callable[[Config], int]) -> int:
    """job's exit status; 2 and one line on standard error where what it was given is wrong.

    1 and one line where storage failed or Ray killed workers for want of memory, 130 where it was
    interrupted: what was finished stays, and a rerun goes on from there.
    """

    def loaded() -> int:
        config = load(options.config, options.set)
        return explained(config.root, lambda: job(config))

    return explained(options.config, loaded)


def explained(place: str, job: Callable[[], int]) -> int:
    """job's exit status, or that of its error, as `run` tells them. place: where it works."""
    try:
        return job()
    except ValueError as error:
        told = str(getattr(error, "cause", error))  # a Ray task's own
        print(f"error: {' '.join(told.splitlines())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except Exception as error:  # storage's failures have no base class; others are raised again
        failed = errors.place(error, place)
        what = "root" if failed == place else "path"
        if (advice := errors.explain(error, what) or memory.explain(error)) is None:
            raise
        print(f"error: {failed}: {advice}; then run the same again", file=sys.stderr)
        return 1


def say(line: str) -> None:
    print(line, flush=True)
