"""Metrics of several nodes as one page."""

from prometheus_client.parser import text_string_to_metric_families

from pipelines.serving.scrape import merged

NODE = """# HELP ray_selfcal_samples_total responses that were drawn
# TYPE ray_selfcal_samples_total counter
ray_selfcal_samples_total{{NodeAddress="{node}",stage="serve"}} {count}
# HELP ray_tasks Current number of tasks
# TYPE ray_tasks gauge
ray_tasks{{NodeAddress="{node}"}} 1.0
# HELP ray_serve_latency_ms how long
# TYPE ray_serve_latency_ms histogram
ray_serve_latency_ms_bucket{{NodeAddress="{node}",le="1.0"}} 2.0
ray_serve_latency_ms_bucket{{NodeAddress="{node}",le="+Inf"}} {count}
ray_serve_latency_ms_sum{{NodeAddress="{node}"}} 5.0
ray_serve_latency_ms_count{{NodeAddress="{node}"}} {count}
"""


def read(page):
    return {one.name: one for one in text_string_to_metric_families(page.decode())}


def test_each_family_is_there_once_with_the_samples_of_all_nodes():
    page = merged([NODE.format(node="a", count=3.0), "", NODE.format(node="b", count=4.0)])
    assert page.count(b"# TYPE ray_selfcal_samples") == 1
    families = read(page)
    assert set(families) == {"ray_selfcal_samples", "ray_serve_latency_ms"}
    counted = {
        one.labels["NodeAddress"]: one.value for one in families["ray_selfcal_samples"].samples
    }
    assert counted == {"a": 3.0, "b": 4.0}
    assert families["ray_serve_latency_ms"].type == "histogram"
    assert len(families["ray_serve_latency_ms"].samples) == 8


def test_where_nothing_is_told_the_page_is_empty():
    assert merged([]) == merged(["", "# TYPE ray_tasks gauge\nray_tasks 1.0\n"]) == b""
    assert read(merged(["no metrics { at all\n"])) == {}
