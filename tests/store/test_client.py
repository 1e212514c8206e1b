from __future__ import annotations

from typing import Any

import pytest

from lb.errors import UsageError
from lb.store.client import connect


@pytest.mark.parametrize("url", ["http://:secret@host", "redis+sentinel://:secret@host", ""])
def test_an_unusable_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(UsageError, match="expected") as raised:
        connect(url)
    assert "secret" not in str(raised.value)


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


def test_certificates_of_clients_are_taken() -> None:
    url = "rediss://host?ssl_ca_certs=/ca&ssl_certfile=/crt&ssl_keyfile=/key&ssl_check_hostname=false"
    made: Any = connect(url).connection_pool.make_connection()
    assert (made.ca_certs, made.certfile, made.keyfile, made.check_hostname) == ("/ca", "/crt", "/key", False)


def test_sentinels_have_credentials_and_tls_of_their_own() -> None:
    hosts = "redis+sentinel://user:pw@a,b/main/2"
    finder = connect(f"{hosts}?sentinel_username=s&sentinel_password=spw").connection_pool.connection_kwargs
    assert (finder["username"], finder["password"], finder["db"]) == ("user", "pw", 2)
    sentinels: Any = finder["finder"]
    for place in (("a", 26379), ("b", 26379)):
        settings = sentinels._sentinels[place].connection_pool.connection_kwargs
        assert (settings["host"], settings["port"]) == place
        assert (settings["username"], settings["password"], settings["db"]) == ("s", "spw", 0)


def test_everything_of_a_store_behind_tls_speaks_it_unless_the_url_says_else() -> None:
    def kinds(url: str) -> tuple[str, str]:
        pool: Any = connect(url).connection_pool
        sentinel = pool.connection_kwargs["finder"]._sentinels[("a", 26379)].connection_pool
        return pool.connection_class.__name__, sentinel.connection_class.__name__

    assert kinds("redis+sentinel://a/main") == ("FoundConnection", "Connection")
    assert kinds("rediss+sentinel://a/main") == ("FoundTlsConnection", "SSLConnection")
    assert kinds("redis+sentinel://a/main?sentinel_tls=true") == ("FoundConnection", "SSLConnection")
    assert kinds("rediss+sentinel://a/main?sentinel_tls=false") == ("FoundTlsConnection", "Connection")
