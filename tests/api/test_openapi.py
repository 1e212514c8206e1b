"""The description tells the truth about the routes and what they answer; test_contract.py sends whatever."""

from __future__ import annotations

import dataclasses
from typing import Any

import jsonschema
import pytest

from lb.api import serialise
from lb.api.overview import look
from lb.api.rates import Rates, Window
from lb.api.shapes import SHAPES
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


def test_where_the_version_is_told_is_described(client, document, add):
    add()
    for path, method, operation in operations(document):
        if method == "get" and path != "/live":
            response = client.get(path.replace("{server}", "localhost:5001"))
            assert ("ETag" in response.headers, path) == ("headers" in operation["responses"]["200"], path)
    put = document["paths"]["/strategy"]["put"]["responses"]["200"]
    assert "ETag" in put["headers"]


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
