"""Jobs that are submitted over HTTP to a cluster of several hosts, some of which are killed."""

import json
import random
import re
from contextlib import suppress

import psutil
import pytest
from hosts import RAY, hosts
from labeling import command, rows
from object_store import BUCKET, SECRET, client, names, object_store, plain_environment
from ports import free_port
from processes import amid, descendants, interrupt, printed_until, started
from ray.job_submission import JobSubmissionClient
from waiting import once

# One fixture holds a whole run and its deaths: minutes, and more where others run beside it.
pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(2400)]
AUTHORIZED = {"Authorization": "Bearer of-the-tests"}
LABELED = 60  # queries: some are left when a host dies
CONFIG = [
    "--config", "jobs/configs/quickstart.yaml",
    "--set", f"data={{train: [{{name: capitals, limit: {LABELED}}}], "
    "calibration: [{name: capitals, split: calibration, limit: 4}], "
    "eval: [{name: capitals, split: test, limit: 6}]}",
    "--set", "examples={total: 60, bin_width: 0.25, generation_ratio: 0.2}",
    "--set", "evaluate={num_samples: 4, live_queries: 4, bootstrap: 50}",
    "--set", "sampling.num_samples=4",
    "--set", "engine.count=2", "--set", "engine.gpus=1", "--set", "engine.kv_cache_gib=0.1",
    "--set", f"serve.port={free_port()}",
]  # fmt: skip


@pytest.fixture(scope="module")
def store():
    with object_store() as (environment, _):
        yield environment


@pytest.fixture(scope="module")
def cluster(store, pace, tmp_path_factory):
    cache = {"SELFCAL_CACHE": str(tmp_path_factory.mktemp("cache"))}
    with hosts({**plain_environment(), **store, **cache, **pace.environment}) as made:
        made.add("one", cpus=4, gpus=1)
        made.add("two", cpus=4, gpus=1)
        yield made


@pytest.fixture(scope="module")
def model(tiny, store):
    """The tiny model on the object store."""
    for file in tiny.iterdir():
        client(store).upload_file(str(file), BUCKET, f"models/tiny/{file.name}")
    return f"s3://{BUCKET}/models/tiny"


def submit(cluster, name, *arguments):
    return started(
        [
            *RAY, "job", "submit", "--address", cluster.address, "--submission-id", name,
            "--working-dir", ".", "--runtime-env", "jobs/runtime_env.yaml",
            "--", "python", "-m", "jobs.run", *arguments,
        ],
        cluster.environment,
    )  # fmt: skip


def labels(store, root):
    return {one for one in names(store, f"{root}/label-") if one.endswith(".parquet")}


@pytest.fixture(scope="module")
def finished(cluster, store, model):
    """A run in two jobs; while the first labels on two hosts, one dies and another comes. Meanwhile
    the engines that began stand still, so that it does not end before."""
    root = f"s3://{BUCKET}/submitted"
    where = ["--set", f"root={root}", "--set", f"model.source={model}"]
    jobs = JobSubmissionClient(cluster.address, headers=AUTHORIZED)
    few = ["--set", "engine.max_num_seqs=4"]  # at once
    with submit(cluster, "labels", *CONFIG, *where, *few, "--until", "label") as label:
        amid(label, lambda: labels(store, "submitted"))
        engines = descendants("EngineCore")
        assert engines
        try:
            for one in engines:
                one.suspend()
            labeling_then = jobs.get_job_info("labels")
            once(
                lambda: [
                    name
                    for name in cluster.workers
                    if "ray_selfcal_generated_tokens_total" in cluster.metrics(name)
                ]
            )
            cluster.kill("two")
            cluster.add("three", cpus=4, gpus=1)
        finally:
            for one in engines:
                with suppress(psutil.NoSuchProcess):
                    one.resume()
        labeled, _ = label.communicate(timeout=300)
    assert label.returncode == 0, labeled
    with submit(cluster, "rest", *CONFIG, *where, "--set", "engine.count=1") as rest:
        printed, _ = rest.communicate(timeout=500)
    assert rest.returncode == 0, printed
    return root, labeled + printed, labeling_then, jobs.get_job_info("rest")


def test_its_status_tells_root_and_stage(finished):
    root, _, before, after = finished
    assert before.status == "RUNNING"
    assert before.metadata["root"] == root
    assert before.metadata["stage"] == "label"
    assert before.message == f"label, in {root}"
    assert after.status == "SUCCEEDED"
    assert after.metadata["stage"] == "report"


def test_every_artifact_is_on_the_object_store(finished, store):
    root, printed, *_ = finished
    body = client(store).get_object(Bucket=BUCKET, Key="submitted/latest.json")["Body"]
    latest = json.loads(body.read())
    assert len(latest) == 8
    assert not [uri for uri in latest.values() if not uri.startswith(root)]
    held = {f"s3://{BUCKET}/{key}" for key in names(store, "submitted/")}
    assert {f"{uri}/_MANIFEST.json" for uri in latest.values()} <= held
    assert f"{latest['report']}/index.html" in held
    assert not [one for one in held if re.search("_RUNNING|_checkpoints|_rows", one)]
    assert SECRET not in printed


def test_every_query_is_labeled_once_though_a_host_died(finished, store, monkeypatch):
    for name, value in store.items():
        monkeypatch.setenv(name, value)
    labeled = rows(finished[0]).to_pylist()
    assert len(labeled) == len({row["query_id"] for row in labeled}) == LABELED
    assert {tuple(one["index"] for one in row["samples"]) for row in labeled} == {(0, 1, 2, 3)}


def test_a_job_that_fails_says_why_in_its_last_lines(cluster):
    with submit(cluster, "wrong", *CONFIG, "--set", "sampling.num_sample=2") as job:
        printed, _ = job.communicate(timeout=300)
    assert job.returncode != 0
    assert "error: config: sampling.num_sample is not a key; did you mean num_samples?" in printed
    info = JobSubmissionClient(cluster.address, headers=AUTHORIZED).get_job_info("wrong")
    assert info.status == "FAILED"
    assert "did you mean num_samples?" in info.message


def labeling(cluster, root, *more):
    """A driver on the cluster, with the engine that is no model."""
    gpus = ["--set", "engine.count=2", "--set", "engine.gpus=1"]
    return started(command(root, *gpus, *more), cluster.environment)


@pytest.fixture(scope="module")
def quiet(cluster, tmp_path_factory):
    """Rows of a run that nothing disturbed."""
    root = tmp_path_factory.mktemp("quiet")
    with labeling(cluster, root) as run:
        printed, _ = run.communicate(timeout=300)
    assert run.returncode == 0, printed
    return rows(root)


def test_engines_grow_to_a_host_that_comes_and_hosts_that_die_at_random_change_no_row(
    quiet, cluster, allowed, tmp_path
):
    """Both GPUs are taken and a third engine is allowed; batches of one leave it some to do."""
    allowed.samples(8)
    draw = random.Random(0)
    more = ["engine.max_count=3", "engine.max_num_seqs=1", "engine.max_restarts=20"]

    def written():
        return set(tmp_path.glob("disturbed/label-*/*.parquet"))

    overrides = [part for one in more for part in ("--set", one)]
    with labeling(cluster, tmp_path / "disturbed", *overrides) as disturbed:
        amid(disturbed, written)
        cluster.add("grown", cpus=4, gpus=1)
        amid(disturbed, lambda: "ray_selfcal_samples_total" in cluster.metrics("grown"))
        for number in range(3):
            before = written()
            cluster.kill(draw.choice(cluster.workers))
            cluster.add(f"new{number}", cpus=4, gpus=1)
            allowed.samples(16 * (number + 2))
            amid(disturbed, lambda before=before: written() - before)
        allowed.all()
        printed, _ = disturbed.communicate(timeout=300)
    assert disturbed.returncode == 0, printed
    assert rows(tmp_path / "disturbed").equals(quiet)


def test_an_engine_that_fits_no_host_is_said_and_starts_nowhere(cluster, tmp_path):
    once(lambda: cluster.known == {"head", *cluster.workers})
    with labeling(cluster, tmp_path, "--set", "engine.gpus=2") as waiting:
        said = printed_until("Waiting for more nodes", waiting)
        assert "engine.count: 2 of 1 CPU and 2 GPU each are asked for, and 0 fit" in said
        assert "the nodes have" in said
        assert said.count("4 CPU and 1 GPU") == len(cluster.workers) >= 2
        rest = interrupt(waiting)
    assert waiting.returncode == 130, said + rest
    assert not list(tmp_path.glob("label-*/*.parquet"))
