from __future__ import annotations

import pytest

from lb.errors import UsageError
from lb.store.client import connect, masked


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:secret@localhost", "redis://:***@localhost"),
        ("rediss://user:secret@host:1/2", "rediss://user:***@host:1/2"),
        ("redis://user:p@ss/word@host", "redis://user:***@host"),
        ("unix:///run/store.sock?db=1&password=secret", "unix:///run/store.sock?db=1&password=***"),
        ("unix:///run/store.sock?password=secret&db=1", "unix:///run/store.sock?password=***&db=1"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize("url", ["http://:secret@host", "localhost:6379", "redis+sentinel://host", ""])
def test_another_scheme_is_refused_with_those_there_are(url: str) -> None:
    with pytest.raises(UsageError, match="it starts with redis://, rediss://, unix://") as raised:
        connect(url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["redis://host:port/0", "redis://host?socket_timeout=soon"])
def test_an_unusable_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="is not the URL of a store"):
        connect(url)


def test_replies_are_text(store_url: str) -> None:
    with connect(store_url) as connection:
        assert connection.ping() is True
        assert connection.client_info()["resp"] == "2"
        assert connection.execute_command("ECHO", "ü") == "ü"


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_tcp_urls_are_taken(scheme: str) -> None:
    place = connect(f"{scheme}://host:1/2", timeout_seconds=0.5).connection_pool.connection_kwargs
    assert (place["host"], place["port"], place["db"]) == ("host", 1, 2)
    assert place["socket_timeout"] == place["socket_connect_timeout"] == 0.5
