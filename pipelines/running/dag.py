"""Steps with fingerprints: what is done is skipped, what is unfinished resumes. No ray.

A step's fingerprint hashes what decides its content: its name, its version, its spec, and the
fingerprints of its inputs. The root, and what only decides how fast it runs (counts of engines and
GPUs), are no part of it, so the same run in another bucket has the same fingerprints. Its artifact
is a directory that counts only once it holds a manifest, which is written last.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.storage.location import MANIFEST, Location, git_commit, versions

State = Literal["done", "unfinished", "to do"]


@dataclass(frozen=True)
class Result:
    """What a stage's function returns: facts for its manifest, and the name of what it goes on from
    where it is killed, a directory of its artifact that is deleted once the manifest stands."""

    rows: int
    schema: str = ""
    metrics: Mapping[str, Any] | None = None
    scratch: str | None = None


# run(inputs, out): reads the artifacts of `inputs` by its own names, fills the directory `out`.
RunStep = Callable[[Mapping[str, Location], Location], Result]


@dataclass(frozen=True)
class Step:
    """One node.

    spec: what decides its content; plain JSON values. inputs: the steps it reads, by the names that
    `run` has for them, in an order that is part of its fingerprint (`reads`).
    """

    name: str
    run: RunStep
    spec: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    version: int = 1


def reads(*names: str, **others: str) -> dict[str, str]:
    """A step's inputs. names: of steps that `run` has no other name for. others: by its names."""
    return dict(zip(names, names, strict=True)) | others


@dataclass(frozen=True)
class Planned:
    step: Step
    fingerprint: str
    location: Location
    state: State


def canonical_json(value: Any) -> str:
    """JSON that is the same for equal values; TypeError where none is."""
    _check(value, "spec")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _check(value: Any, where: str) -> None:
    if value is None or isinstance(value, bool | int | str):
        return
    if isinstance(value, float) and math.isfinite(value):
        return
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{where}[{index}]")
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where}: key {key!r} is not a string")
            _check(item, f"{where}.{key}")
        return
    raise TypeError(f"{where}: {type(value).__name__} has no deterministic serialization")


def fingerprint(step: Step, inputs: Sequence[str]) -> str:
    """sha256 over (name, version, canonical spec, input fingerprints), in hex."""
    identity = [step.name, step.version, canonical_json(dict(step.spec)), list(inputs)]
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()


def plan(steps: Sequence[Step], root: str) -> list[Planned]:
    """Each step with its path and state; steps stand in an order in which inputs come first."""
    base = Location.of(root)
    planned: dict[str, Planned] = {}
    for step in steps:
        digest = fingerprint(step, [planned[of].fingerprint for of in step.inputs.values()])
        location = base / f"{step.name}-{digest[:8]}"
        state: State = "to do"
        if (location / MANIFEST).exists():
            state = "done"
        elif location.exists():
            state = "unfinished"
        planned[step.name] = Planned(step, digest, location, state)
    return list(planned.values())


def run(
    planned: Sequence[Planned],
    root: str,
    say: Callable[[str], None],
    starting: Callable[[str], None] = lambda name: None,
    keep: Collection[str] = (),
) -> dict[str, Location]:
    """Runs what is not done, in order; returns every step's artifact. Errors pass through.

    say: takes lines for people. starting: takes a step's name before it runs. keep: names of steps
    whose artifact latest.json goes on naming, where it names one.
    """
    artifacts: dict[str, Location] = {}
    latest = Location.of(root) / "latest.json"
    known = latest.read_json() if latest.exists() else {}
    kept = {name: uri for name, uri in known.items() if name in keep}
    fingerprints = {one.step.name: one.fingerprint for one in planned}
    for number, one in enumerate(planned, start=1):
        step, out = one.step, one.location
        head = f"[{number}/{len(planned)}] {step.name}"
        artifacts[step.name] = out
        if one.state == "done":
            say(f"{head}: done before, {out.uri}")
            known = _tell_latest(latest, known, {step.name: out.uri} | kept)
            continue
        say(f"{head}: {'resuming' if one.state == 'unfinished' else 'running'}, {out.uri}")
        starting(step.name)
        out.make_dir()
        start = time.monotonic()
        result = step.run({name: artifacts[of] for name, of in step.inputs.items()}, out)
        seconds = time.monotonic() - start
        manifest = {
            "step": step.name,
            "version": step.version,
            "fingerprint": one.fingerprint,
            "spec": dict(step.spec),
            "inputs": {of: fingerprints[of] for of in step.inputs.values()},
            "rows": result.rows,
            "schema": result.schema,
            "metrics": dict(result.metrics or {}),
            "seconds": round(seconds, 3),
            "versions": versions(),
            "git_commit": git_commit(),
        }
        (out / MANIFEST).write_json(manifest)
        if result.scratch:
            (out / result.scratch).delete()
        known = _tell_latest(latest, known, {step.name: out.uri} | kept)
        say(f"{head}: {result.rows} rows in {seconds:.0f} s")
    return artifacts


def _tell_latest(file: Location, known: dict[str, str], done: dict[str, str]) -> dict[str, str]:
    """Names artifacts as the newest; a run that is still going on can be looked into."""
    now = known | done
    if now != known:
        file.write_json(now)
    return now
