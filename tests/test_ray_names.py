"""What of Ray is used here and documented nowhere: a new Ray that has it otherwise fails here.

A name that is gone would be found late (when a job is submitted), or never (a line that Ray prints
again, a setting that does nothing).
"""

import inspect
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

MOVED = "this Ray has it otherwise: look at what uses it"


@pytest.mark.parametrize(
    ("module", "name", "called"),
    [
        # pipelines/running/memory.py
        ("ray._private.utils", "get_cgroup_mem_stats", ()),
        ("ray._private.worker", "print_to_stdstream", ("data", "ignore_prefix")),
        # pipelines/serving/service.py
        ("ray.serve.context", "_get_global_client", ("raise_if_no_controller_running=",)),
        ("ray.serve", "delete", ("name", "_blocking=")),
        # tell_job in pipelines/running/cluster.py
        ("ray.dashboard.modules.job.common", "JobInfoStorageClient", ("gcs_client",)),
        ("ray.dashboard.modules.job.common", "JobInfoStorageClient.get_info", ("self", "job_id")),
        (
            "ray.dashboard.modules.job.common",
            "JobInfoStorageClient.put_status",
            ("self", "job_id", "status", "message=", "jobinfo_replace_kwargs="),
        ),
    ],
)
def test_a_function_takes_what_it_is_given(module, name, called):
    """called: its arguments, by place, and by name where they end in =."""
    function = import_module(module)
    for part in name.split("."):
        function = getattr(function, part, None)
        assert function, f"{module}.{name}: {MOVED}"
    by_place = [one for one in called if not one.endswith("=")]
    by_name = dict.fromkeys(one[:-1] for one in called if one.endswith("="))
    signature = inspect.signature(function)
    try:
        bound = signature.bind(*by_place, **by_name)
    except TypeError as error:
        pytest.fail(f"{module}.{name}{signature}: {MOVED} ({error})")
    assert [*bound.arguments] == [*by_place, *by_name], f"{module}.{name}{signature}: {MOVED}"


def test_a_containers_memory_is_what_it_uses_and_its_limit():
    from ray._private.utils import get_cgroup_mem_stats

    found = get_cgroup_mem_stats()
    assert found is None or (len(found) == 2 and 0 < found[0] <= found[1]), MOVED


def test_settings_of_ray_data_and_facts_of_a_job_have_these_names():
    from ray.dashboard.modules.job.common import JOB_ID_METADATA_KEY, JobInfo
    from ray.data import DataContext

    context = DataContext.get_current()
    buffer = "_max_num_blocks_in_streaming_gen_buffer"  # pipelines/stages/label/streaming.py
    assert isinstance(getattr(context, buffer, None), int), f"{buffer}: {MOVED}"
    assert JOB_ID_METADATA_KEY == "job_submission_id", MOVED  # tell_job
    assert "metadata" in inspect.signature(JobInfo).parameters, MOVED


@pytest.mark.parametrize(
    ("module", "text"),
    [
        # Loggers that say less: by their modules' names, but one.
        ("ray._private.authentication.authentication_token_setup", "getLogger(__name__)"),
        ("ray.data._internal.progress", "getLogger(__name__)"),
        ("ray.data.exceptions", "getLogger(__name__)"),
        ("ray.data._internal.execution.streaming_executor_state", "getLogger(__name__)"),
        ("ray.train.v2._internal.execution.context", "getLogger(__file__)"),
        # Variables of the environment.
        ("ray._private.runtime_env.constants", '"RAY_JOB_CONFIG_JSON_ENV_VAR"'),
        ("ray._private.worker", '"RAY_IGNORE_UNHANDLED_ERRORS" in os.environ'),
        ("ray._private.ray_constants", '"RAY_API_SERVER_ADDRESS"'),
        ("ray.data._internal.logging", '"RAY_DATA_LOG_LEVEL"'),
        ("ray.serve._private.constants", '"RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S"'),
        ("ray.serve._private.deployment_state", '"RAY_SERVE_SLOW_STARTUP_WARNING_S"'),
        ("ray.train.v2._internal.constants", '"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"'),
        ("ray.train.v2._internal.constants", '"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"'),
        ("ray.train.v2._internal.constants", '"RAY_TRAIN_ENABLE_PRINT_PATCH"'),
        # Ray prints its reports by the function of this name, which is another here.
        ("ray._private.worker", " print_to_stdstream(\n"),
        ("ray._private.worker", "partial(print_to_stdstream,"),
    ],
)
def test_ray_still_reads_it(module, text):
    """In its source: what it reads as it starts leaves nothing to ask for."""
    spec = find_spec(module)
    source = Path(spec.origin).read_text() if spec else ""
    assert text in source, f"{module}, {text}: {MOVED}"
