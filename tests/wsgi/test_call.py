from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.util import SKIP_HEADER

from lb.config import Config
from lb.errors import ClientError
from lb.proxy.headers import header_settings
from lb.wsgi.call import Call, Calls
from tests.wsgi.test_environ import environ


def read(own: dict[str, Any] | None = None, **more: Any) -> Call:
    config = Config.model_validate(own or {})
    wsgi = {"wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "REMOTE_ADDR": "10.0.0.1"}
    return Calls(config, header_settings(config)).read({**environ(), **wsgi, **more})


def fields(call: Call) -> dict[str, Any]:
    return dict(call.headers("s:1").items())


def test_servers_learn_for_whom_it_is() -> None:
    found = fields(read())
    assert found["Host"] == found["X-Forwarded-Host"] == b"b"
    assert found["X-Forwarded-For"] == b"10.0.0.1"
    assert found["X-Forwarded-Proto"] == b"http"
    assert found["X-Request-Id"]


def test_urllib3_adds_nothing() -> None:
    assert fields(read())["User-Agent"] == fields(read())["Accept-Encoding"] == SKIP_HEADER
    found = fields(read(HTTP_USER_AGENT="x", HTTP_ACCEPT_ENCODING=SKIP_HEADER))
    assert (found["User-Agent"], found["Accept-Encoding"]) == (b"x", SKIP_HEADER.encode())


def test_a_trusted_proxy_is_believed_and_others_are_not() -> None:
    claims = {
        "HTTP_X_FORWARDED_FOR": "9.9.9.9",
        "HTTP_X_FORWARDED_PROTO": "https",
        "HTTP_X_REQUEST_ID": "mine",
    }
    trusted = fields(read({"trustedProxies": ["10.0.0.0/8"]}, **claims))
    assert trusted["X-Forwarded-For"] == b"9.9.9.9, 10.0.0.1"
    assert (trusted["X-Forwarded-Proto"], trusted["X-Request-Id"]) == (b"https", b"mine")
    stranger = fields(read(None, **claims))
    assert (stranger["X-Forwarded-For"], stranger["X-Forwarded-Proto"]) == (b"10.0.0.1", b"http")
    assert stranger["X-Request-Id"] != b"mine"


def test_the_servers_own_tls_is_told() -> None:
    assert fields(read(**{"wsgi.url_scheme": "https"}))["X-Forwarded-Proto"] == b"https"


@pytest.mark.parametrize("address", ["", "localhost", "/run/socket"])
def test_a_client_by_a_unix_socket_has_no_address(address: str) -> None:
    assert "X-Forwarded-For" not in fields(read(REMOTE_ADDR=address))
    claimed = read({"trustedProxies": ["unix:"]}, REMOTE_ADDR=address, HTTP_X_FORWARDED_FOR="9.9.9.9")
    assert fields(claimed)["X-Forwarded-For"] == b"9.9.9.9"


def test_hop_by_hop_fields_stay_here() -> None:
    found = fields(
        read(HTTP_CONNECTION="x-mine, close", HTTP_X_MINE="1", HTTP_TE="trailers", HTTP_KEEP_ALIVE="1")
    )
    assert not {"Connection", "X-Mine", "Te", "Keep-Alive"} & set(found)


def test_who_names_no_host_asks_for_the_servers() -> None:
    old = environ(SERVER_PROTOCOL="HTTP/1.0")
    del old["HTTP_HOST"]
    config = Config()
    call = Calls(config, header_settings(config)).read(old)
    assert fields(call)["Host"] == b"s:1"


@pytest.mark.parametrize(
    ("status", "more"),
    [
        (400, {"HTTP_HOST": "a b"}),
        (400, {"RAW_URI": "no-path"}),
        (400, {"CONTENT_LENGTH": "1x"}),
        (400, {"CONTENT_LENGTH": "1", "HTTP_TRANSFER_ENCODING": "chunked"}),
        (411, {"HTTP_TRANSFER_ENCODING": "chunked"}),
        (413, {"CONTENT_LENGTH": "1001"}),
        (414, {"RAW_URI": "/" + "x" * 8200}),
        (431, {"HTTP_X": "x" * 40000}),
        (431, {f"HTTP_X{n}": "1" for n in range(101)}),
        (501, {"REQUEST_METHOD": "TRACE"}),
        (501, {"HTTP_TRANSFER_ENCODING": "gzip, chunked"}),
        (501, {"HTTP_CONNECTION": "upgrade", "HTTP_UPGRADE": "websocket"}),
    ],
)
def test_what_is_not_sound_is_refused(status: int, more: dict[str, str]) -> None:
    with pytest.raises(ClientError) as caught:
        read({"limits": {"bodyBytes": 1000}}, **more)
    assert caught.value.status == status


SPECIAL = ("CONNECTION", "TRANSFER_ENCODING", "UPGRADE", "HOST", "X_FORWARDED_FOR")
KEYS = st.from_regex(r"HTTP_[A-Z0-9_]{1,12}", fullmatch=True) | st.sampled_from(
    ["CONTENT_LENGTH", "CONTENT_TYPE", *(f"HTTP_{name}" for name in SPECIAL)]
)
WORDS = st.text(st.characters(max_codepoint=255), max_size=20)
VALUES = WORDS | st.sampled_from(["chunked", "1", "upgrade", "b"])


@settings(max_examples=300)
@given(more=st.dictionaries(KEYS, VALUES, max_size=6), path=WORDS, query=WORDS, method=WORDS)
def test_whatever_a_server_hands_on_is_refused_or_sound(
    more: dict[str, str], path: str, query: str, method: str
) -> None:
    try:
        call = read(**{**more, "PATH_INFO": f"/{path}", "QUERY_STRING": query, "REQUEST_METHOD": method})
    except ClientError:
        return
    values = [value for _, value in call.headers("s:1").items() if value != SKIP_HEADER]
    assert not any(set(word) & set(b"\r\n\0") for word in [call.request.target, *values])
    assert call.request.target.isascii()
    assert b" " not in call.request.target


def test_a_wish_for_http_2_is_overlooked() -> None:
    assert "Upgrade" not in fields(read(HTTP_CONNECTION="upgrade, http2-settings", HTTP_UPGRADE="h2c"))


def test_a_body_comes_with_its_framing() -> None:
    sized = read(CONTENT_LENGTH="3", **{"wsgi.input": io.BytesIO(b"abcd")})
    assert sized.body is not None
    assert list(sized.body.pieces()) == [b"abc"]
    assert fields(sized)["Content-Length"] == b"3"
    chunked = read(
        HTTP_TRANSFER_ENCODING="chunked", **{"wsgi.input": io.BytesIO(b"abcd"), "wsgi.input_terminated": True}
    )
    assert chunked.body is not None
    assert list(chunked.body.pieces()) == [b"abcd"]
    assert fields(chunked)["Transfer-Encoding"] == b"chunked"
    assert read().body is None


@pytest.mark.parametrize("own", [{"RAW_URI": "/a#b"}, {"REQUEST_URI": "http://b/#"}, {"QUERY_STRING": "a#b"}])
def test_a_target_with_a_fragment_is_refused(own: dict[str, str]) -> None:
    """RFC 9112 §3.2; but a path that the WSGI server has decoded is quoted again."""
    with pytest.raises(ClientError, match="fragment"):
        read(None, **own)
    assert read(PATH_INFO="/a#b").request.target == b"/a%23b"


def test_a_length_counts_by_its_value() -> None:
    call = read(REQUEST_METHOD="POST", CONTENT_LENGTH="0" * 30 + "5")
    assert (call.request.fields.content_length, fields(call)["Content-Length"]) == (5, b"5")
