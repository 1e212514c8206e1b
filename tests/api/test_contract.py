"""The API keeps its own description, whatever is sent: schemathesis reads the one and makes up the other."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Config, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance

from lb import config
from lb.model import Source

EXAMPLES = 25  # of each operation and kind, the same each time

SERVERS = [
    "localhost:5001",
    "localhost:5002",
    "LOCALHOST:5003",
    "unix:/run/app.sock",
    "[::1]:80",
    "10.0.0.1:80",
]
schemathesis.openapi.format("server-id", st.sampled_from(SERVERS))
schemathesis.openapi.format(
    "server-url", st.sampled_from([one if one.startswith("unix") else f"http://{one}" for one in SERVERS])
)

#: Of what is as described: the pool may be against it, and a write without a body must be declared too.
ACCEPTED = ["2xx", "404", "409", "412", "415"]

READS = ["/servers", "/removed", "/strategy", "/status", "/workers", "/metrics", "/health", "/openapi.json"]
OTHERS = [
    ("/servers", "POST"),
    ("/servers/{server}", "PATCH"),
    ("/removed/{server}/restore", "POST"),
    ("/strategy", "PUT"),
    ("/events", "GET"),
]
CASES = [(path, "GET", GenerationMode.POSITIVE) for path in READS]  # with nothing to get wrong
CASES += [(path, method, mode) for path, method in OTHERS for mode in GenerationMode]
CASES += [("/servers/{server}", method, GenerationMode.POSITIVE) for method in ("GET", "DELETE")]


@pytest.fixture
def api(client, pool):
    """The description as the API serves it, over a pool with a server that is there and one that was."""
    for port in (5001, 5002):
        pool.add(config.parse_server_url(f"http://localhost:{port}"), Source.ADMIN, "test")
    pool.remove("localhost:5002", "test")
    settings = Config.from_dict({"checks": {"positive_data_acceptance": {"expected-statuses": ACCEPTED}}})
    return schemathesis.openapi.from_wsgi("/openapi.json", client.application, config=settings)


@pytest.mark.parametrize(("path", "method", "mode"), CASES)
def test_whatever_is_sent_is_answered_as_described(api, path, method, mode):
    @given(case=api[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
    def answered(case):
        case.call_and_validate()

    answered()


@pytest.mark.parametrize(("path", "method"), [case[:2] for case in CASES if "{server}" in case[0]])
def test_an_id_may_be_any_text(api, path, method):
    operation = api[path][method]
    body = {"weight": 2} if method == "PATCH" else {}

    @given(server=st.text(min_size=1, max_size=12))
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
    def answered(server):
        case = operation.Case(path_parameters={"server": server}, body=body, media_type="application/json")
        case.call_and_validate(checks=[not_a_server_error, status_code_conformance])

    answered()


def test_nothing_that_is_described_is_left_out(client):
    paths = client.get("/openapi.json").json["paths"]
    described = {(path, method.upper()) for path, methods in paths.items() for method in methods}

    assert {(path, method) for path, method, _ in CASES} == described - {("/live", "GET")}  # it has no end
