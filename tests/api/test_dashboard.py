"""The dashboard's files. What they do in a browser: tests/api/test_dashboard_browser.py."""

from __future__ import annotations

import re

import pytest

from lb.api.access import Access
from lb.api.app import create_app

TOKEN = "correct-horse-battery"
POLICY = "default-src 'self'"


def test_page_and_its_parts_are_served(client):
    page = client.get("/")
    parts = re.findall(r'(?:href|src)="(static/[^"]+)"', page.text)

    assert page.mimetype == "text/html"
    assert {"static/dashboard.css", "static/dashboard.js", "static/icon.svg"} == set(parts)
    for part in parts:
        assert client.get(f"/{part}").status_code == 200


@pytest.mark.parametrize("name", ["dashboard.css", "dashboard.js", "dashboard.html"])
def test_nothing_comes_from_elsewhere(client, name):
    """The policy forbids it, and inline scripts and styles; what needed them would break in silence."""
    text = client.get(f"/static/{name}").text

    assert not re.search(r"""(src|href)=["'](https?:)?//|@import|url\(|\sstyle=|\son\w+=["']""", text)
    assert "innerHTML" not in text


def test_policy_is_on_every_answer(client):
    for path in ("/", "/servers", "/nothing", "/static/dashboard.js"):
        assert client.get(path).headers["Content-Security-Policy"].startswith(POLICY)


@pytest.mark.parametrize("name", ["nothing.js", "..%2fapp.py", "%2e%2e/app.py", "dashboard.py"])
def test_other_files_are_not_there(client, name):
    assert client.get(f"/static/{name}").status_code == 404


def test_page_needs_no_token_but_its_figures_do(pool, fleet, counted):
    client = create_app(pool, fleet, Access(token=TOKEN), counted).test_client()

    assert [client.get(path).status_code for path in ("/", "/static/dashboard.js", "/live")] == [
        200,
        200,
        401,
    ]
