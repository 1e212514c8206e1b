"""What every answer has in common."""

from __future__ import annotations

import logging

import pytest

from lb.api.access import Access
from lb.api.app import create_app


@pytest.mark.parametrize("path", ["/nothing", "/servers/", "/static/x", "/a//b"])
def test_unknown_route_is_a_json_404(client, path):
    response = client.get(path)

    assert response.status_code == 404
    assert repr(path) in response.json["error"]
    assert "/events, /health, /live, /metrics, /openapi.json, /removed, /servers" in response.json["error"]


def test_wrong_method_tells_the_right_ones(client):
    response = client.put("/servers", json={})

    assert (response.status_code, response.json["status"]) == (405, 405)
    assert {"GET", "POST"} <= set(response.headers["Allow"].replace(" ", "").split(","))
    assert response.json["error"] == "no PUT at '/servers'; there are GET, HEAD, OPTIONS, POST"


def test_answers_are_neither_stored_nor_guessed_at(client):
    for path in ("/servers", "/nothing"):
        headers = client.get(path).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_unexpected_failure_is_logged_and_tells_nothing(fleet, counted, caplog):
    """A pool that breaks in a way nobody foresaw."""
    client = create_app(object(), fleet, Access(), counted).test_client()  # type: ignore[arg-type]
    with caplog.at_level(logging.ERROR, "lb.api"):
        response = client.get("/servers")

    assert response.status_code == 500
    assert response.is_json
    assert "AttributeError" not in response.text
    assert "GET /servers failed" in caplog.text
