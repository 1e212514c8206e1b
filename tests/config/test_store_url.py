from __future__ import annotations

import re

import pytest

from lb.config.store_url import Engine, check_store_url, masked, parse_store_url


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("redis://localhost", "redis://localhost:6379/0"),
        ("redis://:pw@h:6380/2", "redis://h:6380/2"),
        ("rediss://user:pw@H?db=3", "rediss://h:6379/3"),
        ("redis://[::1]:1/", "redis://[::1]:1/0"),
        ("unix:///run/valkey.sock?db=1", "unix:///run/valkey.sock"),
        ("unix://user:pw@/run/a%20b@c.sock", "unix:///run/a b@c.sock"),
        ("redis+sentinel://a,b:1,[::1]/main", "redis+sentinel://a:26379,b:1,[::1]:26379/main/0"),
        ("rediss+sentinel://u:p@a/main/4", "rediss+sentinel://a:26379/main/4"),
        ("redis+cluster://u:p@a,b:1", "redis+cluster://a:6379,b:1"),
        ("rediss+cluster://a/0", "rediss+cluster://a:6379"),
    ],
)
def test_forms(text: str, place: str) -> None:
    assert str(parse_store_url(text)) == place
    assert check_store_url(text) == text


def test_credentials_are_decoded_wherever_they_stand() -> None:
    for text in (
        "redis://us%3Aer:p%40ss%2F%3F@h",
        "redis+sentinel://us%3Aer:p%40ss%2F%3F@h/main",
        "unix://us%3Aer:p%40ss%2F%3F@/s",
        "unix:///s?username=us%3Aer&password=p%40ss%2F%3F",
    ):
        url = parse_store_url(text)
        assert (url.username, url.password) == ("us:er", "p@ss/?")
        assert "p@ss" not in f"{url} {url!r}"


def test_options_of_tls_and_of_sentinels() -> None:
    url = parse_store_url(
        "redis+sentinel://a/main?sentinel_username=u&sentinel_password=p%26&sentinel_tls=true&ssl_ca_certs=/ca.pem"
    )
    assert url.engine is Engine.SENTINEL
    assert not url.tls
    assert url.options == {
        "sentinel_username": "u",
        "sentinel_password": "p&",
        "sentinel_tls": "true",
        "ssl_ca_certs": "/ca.pem",
    }
    url = parse_store_url("rediss://a?ssl_certfile=c&ssl_keyfile=k&ssl_check_hostname=false")
    assert url.options == {"ssl_certfile": "c", "ssl_keyfile": "k", "ssl_check_hostname": "false"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("localhost:6379", 'did you forget "redis://"?'),
        ("http://localhost", 'got "http://localhost"'),
        ("redis://", "a host, or host:port"),
        ("redis://host:", "a host, or host:port"),
        ("redis://host:port/0", "a host, or host:port"),
        ("redis://host:0", "a host, or host:port"),
        ("redis://host:70000", "a host, or host:port"),
        ("redis://a,b", "of one host, or redis+sentinel://"),
        ("redis://host/first", "the database as a number"),
        ("redis://host/1/2", "ends after the database's number"),
        ("unix://", "with three slashes"),
        ("unix://run/valkey.sock", "with three slashes"),
        ("redis+sentinel://a,b", "the service's name behind the sentinels"),
        ("redis+sentinel://a,,b/main", "a host, or host:port"),
        ("redis+sentinel://a/main/0/1", "ends after the database's number"),
        ("redis+cluster://a/1", "a cluster has database 0 only"),
        ("redis+cluster://a?db=0", '"db" is no option of redis+cluster://'),
        ("redis+other://a", "expected a store's URL"),
        ("redis://h?sentinel_tls=true", '"sentinel_tls" is no option of redis://'),
        ("redis://h?ssl_ca_certs=/ca", '"ssl_ca_certs" is no option of redis://'),
        ("rediss://h?ssl_cacerts=/ca", "did you mean ssl_ca_certs?"),
        ("rediss://h?ssl_check_hostname=1", 'expected true or false, not "1"'),
        ("", "expected a store's URL"),
        ("http://user:secret@host", '"http://***@host"'),
        ("user:secret@host", '"***@host"'),
        ("redis://user:secret with/@signs@host", '"redis://***@host"'),
        ("redis://user:sec?secret@host", '"redis://***"'),
        ("redis://user:secret@host:secr", '"redis://***@host:secr"'),
        ("http://host?password=secret", '"http://host"'),
        ("redis://host/0?pass=secret", '"pass" is no option'),
        ("redis://host/0?pass=sec@secret", '"redis://***"'),
        ("secret?x@y", '"***"'),
    ],
)
def test_a_malformed_url_is_told_in_one_line_and_never_with_its_password(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        parse_store_url(text)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:secret@localhost", "redis://:***@localhost"),
        ("rediss://user:secret@host:1/2", "rediss://user:***@host:1/2"),
        ("redis://user:p@ss/word@host", "redis://user:***@host"),
        ("unix:///run/store.sock?db=1&password=secret", "unix:///run/store.sock?db=1&password=***"),
        ("unix:///run/store.sock?password=secret&db=1", "unix:///run/store.sock?password=***&db=1"),
        ("redis+cluster://u:secret@a,b:1", "redis+cluster://u:***@a,b:1"),
        (
            "redis+sentinel://u:secret@a,b/main?sentinel_password=secret",
            "redis+sentinel://u:***@a,b/main?sentinel_password=***",
        ),
    ],
)
def test_a_url_is_shown_without_its_passwords(url: str, shown: str) -> None:
    assert masked(url) == shown
