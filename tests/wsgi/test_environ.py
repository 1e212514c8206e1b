from __future__ import annotations

from typing import Any

import pytest

from lb.errors import ClientError
from lb.wsgi.environ import head_of, target_of


def environ(**more: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/a",
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "b",
        **more,
    }


def test_fields_get_their_usual_names() -> None:
    head = head_of(environ(HTTP_X_REQUEST_ID="1", CONTENT_TYPE="text/x", CONTENT_LENGTH="3"))
    assert head == (
        b"GET /a HTTP/1.1\r\nHost: b\r\nX-Request-Id: 1\r\nContent-Type: text/x\r\nContent-Length: 3\r\n\r\n"
    )


def test_empty_content_fields_are_none() -> None:
    assert b"Content" not in head_of(environ(CONTENT_TYPE="", CONTENT_LENGTH=""))


def test_underscores_do_not_make_a_length() -> None:
    assert b"Content" not in head_of(environ(HTTP_CONTENT_LENGTH="3", HTTP_CONTENT_TYPE="x"))


@pytest.mark.parametrize(
    ("protocol", "line"),
    [("HTTP/1.0", b"GET /a HTTP/1.0"), ("HTTP/1.1", b"GET /a HTTP/1.1"), ("HTTP/2", b"GET /a HTTP/1.1")],
)
def test_the_version_is_one_that_we_speak(protocol: str, line: bytes) -> None:
    assert head_of(environ(SERVER_PROTOCOL=protocol)).startswith(line + b"\r\n")


@pytest.mark.parametrize("value", ["a\r\nX-Forwarded-For: 1", "a\nb"])
def test_a_value_is_one_line(value: str) -> None:
    with pytest.raises(ClientError, match="more than one line"):
        head_of(environ(HTTP_X=value))


def test_values_are_bytes_in_disguise() -> None:
    assert b"X: \xc3\xa4" in head_of(environ(HTTP_X="\xc3\xa4"))
    with pytest.raises(ClientError, match="characters"):
        head_of(environ(HTTP_X="€"))


@pytest.mark.parametrize("name", ["RAW_URI", "REQUEST_URI"])
def test_the_target_is_the_one_that_came_if_the_server_tells(name: str) -> None:
    assert target_of(environ(**{name: "/a%2Fb?c=%41"})) == "/a%2Fb?c=%41"
    assert target_of(environ(**{name: "/\xc3\xa4?x"})) == "/%C3%A4?x"


@pytest.mark.parametrize(
    ("script", "path", "query", "target"),
    [
        ("", "/", "", "/"),
        ("", "", "", "/"),
        ("", "*", "", "*"),
        ("/app", "/x", "", "/app/x"),
        ("", "/a b%", "c=d%20e", "/a%20b%25?c=d%20e"),
        ("", "/a;b=c,d:@!$&'()*+", "", "/a;b=c,d:@!$&'()*+"),
        ("", "/\xc3\xa4", "q=\xc3\xa4", "/%C3%A4?q=%C3%A4"),
        ("", "/?#", "", "/%3F%23"),
    ],
)
def test_else_it_is_one_that_means_the_same(script: str, path: str, query: str, target: str) -> None:
    assert target_of(environ(SCRIPT_NAME=script, PATH_INFO=path, QUERY_STRING=query)) == target
