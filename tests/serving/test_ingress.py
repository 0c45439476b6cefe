"""The service's routes, as a client finds them: without engines, and without Serve."""

from types import SimpleNamespace

import pytest
import tiny_service
from fastapi.testclient import TestClient

from pipelines.config import Config
from pipelines.serving import door
from pipelines.serving.ingress import Ingress, api
from pipelines.serving.keys import digest
from pipelines.serving.served import Served

SERVED = Served("base", "m", {"calibrated": "a", "org/other": "b"})
KEY = "a-key-of-the-routes"


@pytest.fixture
def client(monkeypatch):
    def client(**serve):
        config = Config.model_validate(tiny_service.settings("m", 8000, serve=serve))
        own = Ingress.func_or_class.__base__(config, SERVED, (digest(KEY),), None)
        context = SimpleNamespace(servable_object=own)
        monkeypatch.setattr(door.serve, "get_replica_context", lambda: context)
        return TestClient(api, headers={"authorization": f"Bearer {KEY}"})

    return client


def test_each_model_that_is_listed_is_found(client):
    asked = client()
    listed = asked.get("/v1/models").json()["data"]
    assert "org/other:fast" in [one["id"] for one in listed]
    for one in listed:
        assert asked.get(f"/v1/models/{one['id']}").json() == one
    assert asked.get("/v1/models/org%2Fother").json()["id"] == "org/other"
    assert asked.get("/v1/models/").json()["data"] == listed


@pytest.mark.parametrize("name", ["gpt-4o", "calibrated:slow", ":fast"])
def test_one_that_is_not_is_told_as_by_a_request(client, name):
    got = client().get(f"/v1/models/{name}")
    told = got.json()["error"]
    assert (got.status_code, told["code"], told["param"]) == (404, "model_not_found", "model")
    assert told["message"].startswith(f"model: {name!r} is none of base, calibrated, org/other")


def test_a_model_wants_a_key_too(client):
    got = client().get("/v1/models/base", headers={"authorization": ""})
    assert got.status_code == 401


@pytest.mark.parametrize("path", ["/", "/health", "/docs", "/about", "/v1/models", "/nowhere"])
def test_a_head_is_that_of_its_get(client, path):
    asked = client()
    head, whole = asked.head(path), asked.get(path)
    assert head.status_code == whole.status_code
    assert head.headers == whole.headers


ORIGIN = "https://app.example:8443"
PREFLIGHT = {
    "authorization": "", "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-lang",
}  # fmt: skip


@pytest.mark.parametrize("allowed", [[ORIGIN, "http://localhost:3000"], ["*"]])
def test_a_page_of_an_allowed_origin_may_ask(client, allowed):
    """Its browser asks first, without the key; and it may read what it is refused for."""
    asked, own = client(allowed_origins=allowed), {"origin": ORIGIN}
    first = asked.options("/v1/chat/completions", headers=own | PREFLIGHT)
    got = asked.get("/v1/models", headers=own)
    no_key = asked.get("/v1/models", headers=own | {"authorization": ""})
    assert [one.status_code for one in (first, got, no_key)] == [200, 200, 401]
    told = {one.headers["access-control-allow-origin"] for one in (first, got, no_key)}
    assert told == {"*" if allowed == ["*"] else ORIGIN}
    allows = first.headers["access-control-allow-headers"]
    assert allows == PREFLIGHT["access-control-request-headers"]
    assert "retry-after" in got.headers["access-control-expose-headers"]


@pytest.mark.parametrize("allowed", [[], ["https://app.example"]])
def test_a_page_of_another_may_not(client, allowed):
    asked, own = client(allowed_origins=allowed), {"origin": ORIGIN}
    first = asked.options("/v1/chat/completions", headers=own | PREFLIGHT)
    assert first.status_code in (400, 401)
    for got in (first, asked.get("/v1/models", headers=own)):
        assert "access-control-allow-origin" not in got.headers
