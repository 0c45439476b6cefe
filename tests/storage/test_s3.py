"""Runs on a real S3 API that also fails: what is retried, what is said, and what is left behind."""

import gzip
import io
import os
import re
import subprocess
from collections import Counter

import labeling
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from labeling import QUERIES, Allowed, command
from object_store import BUCKET, SECRET, durable_store, names, object_store, plain_environment
from processes import ROOT, amid, kill_with_children, started

from pipelines.datasets.records import read
from pipelines.datasets.sources import digest
from pipelines.engine.sampling import request_key
from pipelines.storage import cache
from pipelines.storage.location import Location

pytestmark = [pytest.mark.process, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def store():
    with object_store() as (environment, proxy):
        yield environment, proxy


@pytest.fixture
def reachable(store, monkeypatch):
    """The store, behaving well, as this process's environment has it too."""
    environment, proxy = store
    proxy.misbehave()
    proxy.met.clear()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield proxy
    proxy.misbehave()


def run(root, *arguments, environment=None):
    done = subprocess.run(
        command(root, *arguments),
        cwd=ROOT, capture_output=True, text=True, timeout=300,
        env={**(os.environ if environment is None else environment), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert SECRET not in done.stdout + done.stderr
    return done


def rows(root):
    assert SECRET not in (labeling.artifact(root) / "_MANIFEST.json").read_text()
    return labeling.rows(root)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("undisturbed"))
    done = run(root, environment=plain_environment())
    assert done.returncode == 0, done.stderr
    return rows(root)


def test_data_are_read_from_folders_and_patterns_in_a_bucket(reachable):
    """Compressed ones too; what fails and may pass is tried again."""
    root = f"s3://{BUCKET}/data"
    packed = gzip.compress(b'{"question": "b", "answer": "x"}\n')
    table = io.BytesIO()
    pq.write_table(pa.table({"question": ["c"], "answer": ["x"]}), table)
    whole = {"a.csv": b"question,answer\na,x\n", "part/b.jsonl.gz": packed}
    for name, content in (whole | {"part/c.parquet": table.getvalue(), "d.txt": b"none"}).items():
        place = Location.of(f"{root}/{name}")
        with place.filesystem.open_output_stream(place.path, compression=None) as stream:
            stream.write(content)
    for path, expected in (("", "abc"), ("/part", "bc"), ("/part/*.gz", "b"), ("/*.csv", "a")):
        found = [(place, fields["question"]) for place, fields in read(root + path)]
        assert "".join(question for _, question in found) == expected
        assert not [place for place, _ in found if not place.startswith(f"{root}/")]
    with pytest.raises(ValueError, match=f"^{root}/none/\\*: no file fits this pattern$"):
        list(read(f"{root}/none/*"))


def test_a_file_in_a_bucket_that_is_written_anew_has_another_digest(reachable):
    folder = Location.of(f"s3://{BUCKET}/edited")
    (folder / "a.jsonl").write_text('{"question": "q", "answer": "a"}\n')
    before = digest(folder.uri)
    assert digest(folder.uri) == before
    (folder / "a.jsonl").write_text('{"question": "q", "answer": "b"}\n')  # of the same size
    assert digest(folder.uri) != before


def test_a_model_in_a_bucket_that_is_written_anew_has_other_content(reachable):
    folder = Location.of(f"s3://{BUCKET}/model")
    with pytest.raises(ValueError, match="no files are there"):
        cache.content(folder)
    (folder / "config.json").write_text("1")
    before = cache.content(folder)
    assert cache.content(folder) == before
    (folder / "config.json").write_text("2")
    assert cache.content(folder) != before


def test_an_undisturbed_run_labels_every_query(undisturbed):
    assert len(undisturbed) == QUERIES
    assert {len(samples) for samples in undisturbed["samples"].to_pylist()} == {4}


@pytest.mark.long
def test_denied_amid_labels_is_one_line_and_a_rerun_completes_though_the_store_is_flaky(
    undisturbed, reachable, store, tmp_path
):
    """What may pass is tried again."""
    root = f"s3://{BUCKET}/denied"
    allowed = Allowed(tmp_path)
    allowed.samples(24)
    process = subprocess.Popen(
        command(root), cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), **allowed.environment},
    )  # fmt: skip
    try:
        amid(
            process,
            lambda: [one for one in names(store[0], "denied/label-") if one.endswith(".parquet")],
        )
        reachable.misbehave("denied", share=1.0)
        allowed.all()
        printed, said = process.communicate(timeout=300)
    finally:
        kill_with_children(process)
    assert process.returncode == 1, printed + said
    last = said.strip().splitlines()[-1]
    assert last.startswith(f"error: {root}: access is denied; check that the credentials")
    assert SECRET not in printed + said
    reachable.misbehave()
    assert not [one for one in names(store[0], "denied/label-") if "MANIFEST" in one]
    kinds = ("slow_down", "reset", "truncated", "slow")
    reachable.misbehave(*kinds, share=0.15)
    done = run(root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "label: resuming" in done.stdout
    assert set(kinds) <= set(reachable.met)
    reachable.misbehave()
    assert rows(root).equals(undisturbed)
    plan = run(root, "--plan").stdout
    assert re.search(rf"^done +label +{root}/label-", plan, re.MULTILINE)


@pytest.mark.long
def test_a_killed_driver_leaves_what_is_finished_and_the_next_goes_on(
    undisturbed, reachable, store, tmp_path
):
    """kill -9 twice, at the next finished files each time: they stay, and are not drawn again.

    A file is finished when its rows are recorded, a moment after it was written; one that a kill
    catches in between is taken away by the next run, and its rows are drawn again.
    """
    root = f"s3://{BUCKET}/killed"
    allowed = Allowed(tmp_path)
    allowed.samples(80)
    logs = [tmp_path / f"drawn{number}" for number in range(3)]  # of each run
    kept, stood = set(), []

    def written():
        return names(store[0], "killed/label-")

    def finished():
        keys = written()
        files = {one for one in keys if re.search(r"/label-[^/]+/[^/_][^/]*\.parquet$", one)}
        return {one for one in files if re.sub(r"/([^/]+)-\d+\.", r"/_rows/\1.", one) in keys}

    def samples(files):
        read = pq.read_table(
            [f"{BUCKET}/{one}" for one in files], filesystem=Location.of(root).filesystem
        )
        return {request_key(0, q, i) for q in read["query_id"].to_pylist() for i in range(4)}

    for log in logs[:2]:
        environment = {**os.environ, "DRAWN": str(log), **allowed.environment}
        with started(command(root), environment) as process:
            amid(process, lambda kept=kept: len(finished() - kept) >= 2)
            before, kept = kept, finished()
            stood.append(kept)
            process.kill()
            process.wait()
        assert before <= kept <= finished()
    done = run(root, environment={**os.environ, "DRAWN": str(logs[2])})
    assert done.returncode == 0, done.stderr
    assert rows(root).equals(undisturbed)
    assert kept <= written()
    draws = [list(map(int, log.read_text().split())) for log in logs]
    unfinished = 0
    for files, earlier, later in zip(stood, draws, draws[1:], strict=False):
        assert not samples(files).intersection(later)
        unfinished += len(set(earlier) - samples(files))
    drawn = Counter(key for keys in draws for key in keys)
    assert len(drawn) == QUERIES * 4
    again = drawn.total() - len(drawn)
    print(f"after two kills, {again} samples of {len(drawn)} were drawn again")
    assert 0 < again <= unfinished, "what the kills caught, once for each"


def test_a_store_that_dies_and_comes_back_holds_every_row(undisturbed, tmp_path, monkeypatch):
    """kill -9 amid labels, twice; what it had acknowledged is on its disk."""
    root = f"s3://{BUCKET}/restarted"

    def written():
        return set(tmp_path.rglob("label-*/*.parquet"))

    with durable_store(tmp_path) as durable:
        for name, value in durable.environment.items():
            monkeypatch.setenv(name, value)
        allowed = Allowed(tmp_path)
        allowed.samples(24)
        with started(command(root), {**os.environ, **allowed.environment}) as process:
            for more in (48, 72):
                before = written()
                amid(process, lambda before=before: written() - before)
                durable.kill()
                durable.start()
                allowed.samples(more)
            allowed.all()
            printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0, printed
        assert rows(root).equals(undisturbed)


@pytest.mark.parametrize(
    ("root", "changes", "says"),
    [
        ("s3://there-is-none/x", {}, "the bucket does not exist; make it first"),
        (f"s3://{BUCKET}/x", {"AWS_ACCESS_KEY_ID": None}, "there are no AWS credentials"),
        (f"s3://{BUCKET}/x", {"AWS_PROFILE": "nobody"}, "there is no such AWS profile"),
        (
            f"s3://{BUCKET}/x",
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            "the object store does not answer; check AWS_ENDPOINT_URL",
        ),
    ],
)
def test_an_object_store_out_of_reach_is_one_line(reachable, root, changes, says):
    environment = {**os.environ, "AWS_EC2_METADATA_DISABLED": "true"} | changes
    environment = {name: value for name, value in environment.items() if value is not None}
    done = run(root, "--until", "queries", environment=environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith(f"error: {root}: {says}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("denied", "access is denied; check that the credentials have not expired"),
        ("expired", "the object store refuses the request; check that the credentials have not"),
    ],
)
def test_refused_credentials_are_one_line(reachable, fault, says):
    reachable.misbehave(fault, share=1.0)
    done = run(f"s3://{BUCKET}/x", "--until", "queries")
    assert done.returncode == 1, done.stdout + done.stderr
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_same_run_on_another_bucket_has_the_same_fingerprints(reachable, tmp_path):
    def plan(root):
        printed = run(root, "--plan").stdout
        return [line.split()[-1].rpartition("/")[2] for line in printed.splitlines()]

    assert plan(f"s3://{BUCKET}/plan") == plan(str(tmp_path))
