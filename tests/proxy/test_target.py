from __future__ import annotations

import pytest

from lb.errors import ClientError
from lb.proxy.http1 import HeadParser


def parse(line: bytes, host: bytes = b"claimed.example"):
    return HeadParser(100).request(b"%b HTTP/1.1\r\nA: 1\r\nhOsT: %b\r\nB: 2\r\n\r\n" % (line, host))


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"http://real.example/a?b=c", b"/a?b=c", b"real.example"),
        (b"HTTP://real.example:8080/a", b"/a", b"real.example:8080"),
        (b"https://real.example/", b"/", b"real.example"),
        (b"http://real.example", b"/", b"real.example"),
        (b"http://real.example?b", b"/?b", b"real.example"),
        (b"http://[::1]:80/", b"/", b"[::1]:80"),
    ],
)
def test_an_absolute_target_becomes_a_path_and_the_host(target, path, host):
    """RFC 9112 §3.2.2: the Host that came with it does not count."""
    request = parse(b"GET " + target)
    assert (request.target, request.fields.host) == (path, host)
    assert request.fields.forward == b"\r\nHost: %b\r\nA: 1\r\nB: 2" % host


def test_the_remembered_block_is_not_changed_by_an_absolute_target():
    heads = HeadParser(100)
    rest = b" HTTP/1.1\r\nHost: claimed.example\r\n\r\n"
    assert heads.request(b"GET http://real.example/" + rest).fields.host == b"real.example"
    assert heads.request(b"GET /" + rest).fields.host == b"claimed.example"


def test_an_absolute_target_stands_in_for_host_in_http_1_0_only():
    """RFC 9112 §3.2: an HTTP/1.1 request without Host is refused whatever its target says."""
    heads = HeadParser(100)
    assert heads.request(b"GET http://real.example/ HTTP/1.0\r\n\r\n").fields.host == b"real.example"
    with pytest.raises(ClientError):
        heads.request(b"GET http://real.example/ HTTP/1.1\r\n\r\n")


def test_options_of_the_whole_server():
    assert parse(b"OPTIONS *").target == b"*"
    assert parse(b"OPTIONS http://real.example").target == b"*"


@pytest.mark.parametrize(
    "line",
    [
        b"GET *",
        b"GET path",
        b"GET ftp://real.example/",
        b"GET http:///path",
        b"GET http://:80/path",
        b"GET http://user@real.example/",
        b"GET http://a b/",
        b"GET real.example:443",
        b"GET ?query",
    ],
)
def test_targets_of_no_known_form_are_refused(line):
    with pytest.raises(ClientError) as caught:
        parse(line)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("said", "passed_on"),
    [
        (b"5", b"4"),
        (b" 01", b"0"),
        (b"x", b" x"),
        (b"-1", b" -1"),
        (b"5x", b"5x"),
        (b"0" * 40 + b"5", b"4"),
        (b"9" * 18, b"9" * 17 + b"8"),
        (b"9" * 5000, b"9" * 18),  # RFC 9110 §7.6.2: no more than is supported
    ],
)
def test_options_go_one_hop_less_far(said, passed_on):
    """RFC 9110 §7.6.2; what is no number is for the server to judge."""
    rest = b" HTTP/1.1\r\nHost: a\r\nmax-forwards:%b\r\nB: 2\r\n\r\n" % said
    heads = HeadParser(100)
    for target in (b"/", b"*"):
        forward = heads.request(b"OPTIONS " + target + rest).fields.forward
        assert (
            forward.replace(b": ", b":").lower()
            == b"\r\nhost:a\r\nmax-forwards:%b\r\nb:2" % passed_on.strip()
        )
    assert b"max-forwards:%b" % said in heads.request(b"GET /" + rest).fields.forward


@pytest.mark.parametrize("target", [b"/", b"*", b"http://real.example"])
@pytest.mark.parametrize("zero", [b"0", b"0" * 30])
def test_options_that_may_go_no_further_are_refused(target, zero):
    with pytest.raises(ClientError) as caught:
        HeadParser(100).request(
            b"OPTIONS %b HTTP/1.1\r\nHost: a\r\nMax-Forwards: %b\r\n\r\n" % (target, zero)
        )
    assert caught.value.status == 501


@pytest.mark.parametrize("line", [b"CONNECT real.example:443", b"TRACE /", b"CONNECT /"])
def test_methods_that_are_not_for_servers_are_refused(line):
    with pytest.raises(ClientError) as caught:
        parse(line)
    assert caught.value.status == 501
