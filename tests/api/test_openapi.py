"""The description tells the truth: about the routes, what they answer, and whatever is sent to them."""

from __future__ import annotations

import dataclasses
import string
from contextlib import suppress
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from lb.api import serialise
from lb.api.overview import look
from lb.api.rates import Rates, Window
from lb.api.shapes import SHAPES
from lb.errors import LBError
from lb.model import Admin, Check, Health, ServerId, Source, WorkerStatus


@pytest.fixture
def document(client) -> dict[str, Any]:
    return client.get("/openapi.json").json


def operations(document):
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def check(document, schema, value) -> None:
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def test_every_route_is_described_and_nothing_else(client, document):
    routes = {
        (rule.rule.replace("<path:", "{").replace(">", "}"), method.lower())
        for rule in client.application.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    pages = {("/", "get"), ("/static/<name}", "get")}

    assert {(path, method) for path, method, _ in operations(document)} == routes - pages


def test_every_operation_says_what_it_does(document):
    ids = [operation["operationId"] for _, _, operation in operations(document)]

    assert len(set(ids)) == len(ids)
    for _, _, operation in operations(document):
        assert operation["summary"].endswith(".")
        assert {"401", "403", "503"} <= set(operation["responses"])


def test_schemas_are_schemas_and_all_references_are_good(document):
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    text = str(document)
    used = {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}

    assert used <= set(schemas)
    assert set(SHAPES) <= used


def rates_of(server: ServerId) -> Rates:
    window = Window()
    window.see(0.0, {})
    window.see(10.0, {server: {"2xx/0.005": 3, "cut": 1}})
    return window.rates()


def test_shapes_have_the_very_properties_that_are_answered(document, client, pool, fleet, add):
    server = add()
    pool.record_check(server.id, Check(True, True, "200 OK", 0.1))
    status = pool.list()[0]
    rates = serialise.rates(rates_of(server.id))
    worker = WorkerStatus(ServerId("w"), "h", 1, 1.0, 2.0, 3, 4)  # type: ignore[arg-type]
    answered = {
        "Server": serialise.server(server),
        "ServerStatus": serialise.server_status(status),
        "Check": serialise.server_status(status)["lastCheck"],
        "Worker": serialise.worker(worker),
        "Event": serialise.event(pool.events()[0]),
        "Status": {
            **serialise.overview(dataclasses.replace(look(pool, fleet), workers=(worker,))),
            "rates": rates,
        },
        "Rates": rates,
        "Rate": rates["servers"][server.id],
        "Strategy": client.get("/strategy").json,
        "Health": client.get("/health").json,
        "Error": client.get("/servers/nothing").json,
    }
    pool.remove(server.id, "test")
    answered["RemovedServer"] = serialise.removed_server(pool.removed()[0])

    assert set(answered) == set(SHAPES)
    for name, value in answered.items():
        assert set(value) == set(SHAPES[name]["properties"])
        check(document, {"$ref": f"#/components/schemas/{name}"}, value)


def test_enums_are_the_models(document):
    server = document["components"]["schemas"]["Server"]["properties"]

    assert [server[name]["enum"] for name in ("admin", "health", "source")] == [
        [*Admin],
        [*Health],
        [*Source],
    ]


SERVERS = ["localhost:5001", "localhost:5002", "unix:/run/app.sock", "[::1]:80"]
SERVER = st.sampled_from(SERVERS) | st.text(min_size=1, max_size=12)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)
WEIGHT = st.integers(-1, 300) | JUNK
BODIES = {
    "NewServer": st.fixed_dictionaries(
        {"url": st.sampled_from(SERVERS).map("http://{}".format) | st.text(max_size=20)},
        optional={"weight": WEIGHT},
    ),
    "ServerChange": st.fixed_dictionaries(
        {}, optional={"admin": st.sampled_from([*Admin]) | JUNK, "weight": WEIGHT}
    ),
    "StrategyChoice": st.fixed_dictionaries({"strategy": st.sampled_from(["random", "round-robin"]) | JUNK}),
}
VALUE = st.text(string.printable.replace("\r", "").replace("\n", ""), max_size=8)
REQUEST = st.fixed_dictionaries(
    {
        "server": SERVER,
        "good": st.fixed_dictionaries(BODIES),
        "wild": st.booleans(),
        "junk": JUNK | st.binary(max_size=12),
        "query": st.dictionaries(st.sampled_from(["count", "after", "other"]), VALUE, max_size=2),
        "if_match": st.none() | st.sampled_from(["*", '"1"', 'W/"1"']) | VALUE,
        "typed": st.sampled_from([True, True, True, False]),
    }
)


def send(client, path: str, method: str, operation, sent):
    """Send what `sent` says to one operation."""
    body = operation.get("requestBody")
    name = body and str(body).rpartition("/")[2].partition("'")[0]
    content = sent["junk"] if sent["wild"] else sent["good"].get(name, {})
    return client.open(
        path.replace("{server}", sent["server"].replace("%", "%25").replace("?", "%3F").replace("#", "%23")),
        method=method.upper(),
        query_string=sent["query"],
        headers={"If-Match": sent["if_match"]} if sent["if_match"] is not None else {},
        **(
            {"data": content, "content_type": "application/json" if sent["typed"] else None}
            if isinstance(content, bytes)
            else {"json": content}
        ),
    )


@given(sent=REQUEST, data=st.data())
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_is_sent_is_answered_as_described(client, document, pool, add, sent, data):
    """No 5xx, no status that the description leaves out, and no body that it does not describe."""
    with suppress(LBError):  # it may be there since an earlier example
        add()
    path, method, operation = data.draw(
        st.sampled_from([found for found in operations(document) if found[0] != "/live"])
    )
    response = send(client, path, method, operation, sent)
    described = operation["responses"]
    event(f"{method} {path} {response.status_code}")

    if response.status_code == 404 and "{server}" not in path:
        raise AssertionError(f"{method} {path} is not there")
    assert response.status_code < 500
    assert str(response.status_code) in described, response.text
    if "content" in described[str(response.status_code)]:
        content = described[str(response.status_code)]["content"][response.mimetype]
        check(document, content["schema"], response.json if response.is_json else response.text)
    else:
        assert response.data == b""
