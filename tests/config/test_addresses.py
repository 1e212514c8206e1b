"""Server URLs, listening addresses, the store's URL, networks."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.config.addresses import (
    ListenAddress,
    is_loopback,
    normalise_server_id,
    parse_network,
    parse_network_address,
    parse_server_url,
)
from lb.errors import UsageError
from lb.model import ServerSpec

_PORTS = st.integers(min_value=1, max_value=65535)
_LABELS = st.from_regex(r"\A[a-z][a-z0-9-]{0,20}[a-z0-9]\Z")


@pytest.mark.parametrize(
    ("text", "server_id"),
    [
        ("http://localhost:5001", "localhost:5001"),
        ("http://localhost:5001/", "localhost:5001"),
        ("HTTP://LocalHost:5001", "localhost:5001"),
        ("http://example.com", "example.com:80"),
        ("http://example.com.:81", "example.com:81"),
        ("http://LOCALHOST.", "localhost:80"),
        ("http://10.0.0.1.:81", "10.0.0.1:81"),
        ("http://[::ffff:10.0.0.1]:81", "10.0.0.1:81"),
        ("http://[::FFFF:a00:1]:81", "10.0.0.1:81"),
        ("http://[0:0:0:0:0:ffff:10.0.0.1]:81", "10.0.0.1:81"),
        ("http://0xcafe.example", "0xcafe.example:80"),
        ("http://my_service-1:81", "my_service-1:81"),
        ("http://10.0.0.1:81", "10.0.0.1:81"),
        ("http://[::1]:5001", "[::1]:5001"),
        ("http://[0:0:0:0:0:0:0:1]", "[::1]:80"),
        ("http://[2001:DB8::1]:05001", "[2001:db8::1]:5001"),
    ],
)
def test_server_url_is_normalised(text: str, server_id: str):
    assert parse_server_url(text, 2) == ServerSpec(server_id, f"http://{server_id}", 2)
    assert normalise_server_id(text) == server_id
    assert normalise_server_id(server_id) == server_id


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("localhost:5001", 'did you mean "http://localhost:5001"?'),
        ("localhost", 'did you mean "http://localhost"?'),
        ("", 'such as "http://localhost:5001"; got ""'),
        ("http:/localhost", 'such as "http://localhost:5001"; got "http:/localhost"'),
        ("https://localhost", "plain http://, not https://"),
        ("ftp://localhost", "plain http://, not ftp://"),
        ("http://localhost/api", 'leave out "/api"'),
        ("http://localhost?a=b", 'leave out "?a=b"'),
        ("http://localhost/#a", 'leave out "/#a"'),
        ("http://u:secret@localhost", "no user name or password"),
        ("u:secret@localhost", "no user name or password"),
        ("http://", "expected a host"),
        ("http://:5001", "expected a host"),
        ("http://localhost:0", "port from 1 to 65535"),
        ("http://localhost:65536", "up to 65535"),
        ("http://localhost:", "expected host:port"),
        ("http://localhost:x", "expected host:port"),
        ("http://localhost:-1", "expected host:port"),
        ("http://::1:80", "brackets"),
        ("http://[::1", "brackets"),
        ("http://[::1%25eth0]:80", "neither a host name nor an IP address"),
        ("http://[127.0.0.1]:80", "neither"),
        ("http://[]:80", "neither"),
        ("http://1.2.3.999", "neither"),
        ("http://1.2.3", "neither"),
        ("http://0x7f000001", "neither"),
        ("http://0X7F000001.:80", "neither"),
        ("http://127.0.0.0x1", "neither"),
        ("http://0x7f.0.0.1", "neither"),
        ("http://0x", "neither"),
        ("http://017700000001", "neither"),
        ("http://2130706433", "neither"),
        ("http://010.0.0.1", "neither"),
        ("http://.", "neither"),
        ("http://a..", "neither"),
        ("http://1.2.3.4..", "neither"),
        ("http://local%68ost", "neither"),
        ("http://[fe80::1%eth0]", "neither"),
        ("http://[::ffff:10.0.0.1%1]", "neither"),
        ("http://a b", "neither"),
        ("http://a\r\nb", "neither"),
        ("http://-a", "neither"),
        ("http://a..b", "neither"),
        ("http://bücher.example", "neither"),
        (f"http://{'a' * 64}", "neither"),
        (f"http://{'a.' * 127}aa", "neither"),
    ],
)
def test_bad_server_url_says_what_is_wrong(text: str, says: str):
    with pytest.raises(UsageError) as caught:
        parse_server_url(text)
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.status == 400


@pytest.mark.parametrize("weight", [0, 257, "x"])
def test_bad_weight(weight: int):
    with pytest.raises(UsageError, match="whole number, 1 to 256"):
        parse_server_url("http://localhost", weight)


def test_a_bad_server_id_is_refused():
    with pytest.raises(UsageError, match="65535"):
        normalise_server_id("localhost:70000")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("5001", 'expected a server as "localhost:5001" or by its URL; got "5001"'),
        ("localhost:5oo1", 'expected host:port; got "localhost:5oo1"'),
        ("https://a:1", 'servers are reached by plain http://, not https://; got "https://a:1"'),
    ],
)
def test_what_names_no_server_is_told_as_it_was_typed(text: str, says: str):
    with pytest.raises(UsageError) as raised:
        normalise_server_id(text)
    assert str(raised.value) == says


@given(st.lists(_LABELS, min_size=1, max_size=4).map(".".join), _PORTS)
def test_server_url_round_trip(host: str, port: int):
    spec = parse_server_url(f"http://{host.upper()}:{port}/")
    assert spec.id == f"{host}:{port}"
    assert parse_server_url(spec.url) == spec


@given(st.ip_addresses(v=6), _PORTS)
def test_ipv6_server_has_one_id_however_written(address: IPv6Address, port: int):
    assert normalise_server_id(f"[{address.exploded}]:{port}") == normalise_server_id(
        f"http://[{address}]:{port}"
    )


@given(st.text())
def test_any_text_is_a_server_or_a_usage_error(text: str):
    try:
        spec = parse_server_url(text)
    except UsageError:
        return
    assert parse_server_url(spec.url) == spec


@pytest.mark.parametrize(
    ("written", "host", "port", "text"),
    [
        (":8080", "", 8080, ":8080"),
        ("8080", "", 8080, ":8080"),
        (8080, "", 8080, ":8080"),
        (0, "", 0, ":0"),
        ("0.0.0.0:8080", "0.0.0.0", 8080, "0.0.0.0:8080"),
        ("[::1]:8080", "::1", 8080, "[::1]:8080"),
        ("[0::0]:8080", "::", 8080, "[::]:8080"),
        ("Localhost:8080", "localhost", 8080, "localhost:8080"),
    ],
)
def test_listen_address(written: object, host: str, port: int, text: str):
    address = ListenAddress.parse(written)
    assert address == ListenAddress(host, port)
    assert str(address) == text
    assert ListenAddress.parse(text) == address


@pytest.mark.parametrize(
    "written",
    [
        "",
        ":",
        "localhost",
        ":x",
        ":-1",
        ":65536",
        65536,
        -1,
        "::1:8080",
        "a b:80",
        ":80/",
        True,
        None,
        [],
        1.5,
    ],
)
def test_bad_listen_address(written: object):
    with pytest.raises(ValueError, match=r"got|neither"):
        ListenAddress.parse(written)


@given(st.integers(min_value=0, max_value=65535))
def test_port_alone_means_every_interface(port: int):
    assert ListenAddress.parse(port) == ListenAddress.parse(str(port)) == ListenAddress.parse(f":{port}")


@pytest.mark.parametrize("text", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"])
def test_loopback(text: str):
    assert ListenAddress.parse(text).loopback


@pytest.mark.parametrize("text", [":1", "0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.com:1"])
def test_beyond_loopback(text: str):
    assert not ListenAddress.parse(text).loopback


@pytest.mark.parametrize("text", ["10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32", "10.0.0.0/255.0.0.0"])
def test_network(text: str):
    assert parse_network(text) == ip_network(text)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("10.0.0.1/8", 'did you mean "10.0.0.0/8"?'),
        ("2001:db8::1/32", 'did you mean "2001:db8::/32"?'),
        ("10.0.0.0/33", "expected an IP address"),
        ("localhost", "expected an IP address"),
        ("", "expected an IP address"),
        (10, "expected an IP address"),
        (None, "expected an IP address"),
    ],
)
def test_bad_network(written: object, says: str):
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_network(written)


@pytest.mark.parametrize(
    "text",
    [
        "unix:/run/app.sock",
        "unix:///run/app.sock",
        "UNIX:/run/app.sock",
        "unix:/run/./app.sock",
        "unix:/run//app.sock",
        "unix:/run/app.sock/",
        "unix:/./run/lb/../app.sock",
        "unix:/../run/app.sock",
    ],
)
def test_a_server_on_a_unix_socket(text: str):
    assert parse_server_url(text, 2) == ServerSpec("unix:/run/app.sock", "unix:/run/app.sock", 2)
    assert normalise_server_id(text) == "unix:/run/app.sock"


@pytest.mark.parametrize(
    "text",
    [
        "unix:",
        "unix:/",
        "unix:/.",
        "unix:/run/..",
        "unix:app.sock",
        "unix://app.sock",
        "unix:/a b",
        "unix:/a\r\nX: 1",
        "unix:/" + "x" * 107,
    ],
)
def test_what_is_no_path_of_a_unix_socket(text: str):
    with pytest.raises(UsageError, match="absolute path of a unix socket"):
        parse_server_url(text)
    with pytest.raises(ValueError, match="absolute path of a unix socket"):
        ListenAddress.parse(text)


def test_listening_on_a_unix_socket():
    address = ListenAddress.parse("unix:/run/lb.sock")
    assert (address, str(address), address.loopback) == (
        ListenAddress("", 0, "/run/lb.sock"),
        "unix:/run/lb.sock",
        True,
    )
    assert parse_network_address(":80") == ListenAddress("", 80)
    with pytest.raises(ValueError, match="no unix socket"):
        parse_network_address("unix:/run/lb.sock")


def test_unix_stands_for_all_who_come_by_a_unix_socket():
    assert parse_network("unix:") == "unix:"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("lo", False),
    ],
)
def test_is_loopback(host, expected):
    assert is_loopback(host) is expected
