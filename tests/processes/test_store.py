from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from lb.config import Config, load
from lb.errors import LBError, StoreUnavailableError
from lb.processes import store
from lb.store.client import connect
from tests.store.acts import Worker
from tests.support import Valkey


@pytest.fixture
def nowhere() -> Iterator[str]:
    """URL of a store that refuses connections."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        yield f"redis://127.0.0.1:{unheard.getsockname()[1]}"


def config_of(url: str, *servers: str) -> Config:
    return load(None, {"LB_KEY_PREFIX": f"t{time.monotonic_ns()}"}, {"redis": url, "servers": servers})


def test_the_configured_servers_are_in_the_pool_after_reconcile(valkey: Valkey) -> None:
    config = config_of(valkey.url, "http://a:1", "http://b:2")
    store.reconcile(config)
    assert [status.server.id for status in store.pool_of(config).list()] == ["a:1", "b:2"]


def test_a_store_that_cannot_be_executed_is_one_line_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was built for another C library."""
    program = tmp_path / "valkey-server"
    program.write_text("#!/lib/ld-that-is-not-here.so\n")
    program.chmod(0o755)
    monkeypatch.setattr("lb.store.embedded.binary", lambda: program)
    with pytest.raises(
        LBError, match=r"No such file or directory\): run Redis or Valkey and name it with --redis"
    ):
        store.run_embedded(tmp_path / "data")


def test_it_waits_for_a_store_only_so_long(nowhere: str) -> None:
    before = time.monotonic()
    with pytest.raises(StoreUnavailableError):
        store.wait(config_of(nowhere), patience_seconds=0.3)
    assert 0.3 <= time.monotonic() - before < 3


def test_who_waits_longer_is_told_for_what(
    nowhere: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "_QUIET_SECONDS", 0.1)
    with caplog.at_level("INFO"), pytest.raises(StoreUnavailableError):
        store.wait(config_of(nowhere), patience_seconds=1)
    [said] = caplog.messages
    assert said == (
        f"waiting up to 1 s for the store: the store at {nowhere}/0 cannot be reached: Connection refused"
    )


def test_a_store_that_drops_keys_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Valkey(tmp_path) as own, connect(own.url) as connection:
        store.reconcile(config_of(own.url))
        connection.config_set("maxmemory-policy", "allkeys-lru")
        store.reconcile(config_of(own.url))  # without a limit nothing is dropped
        assert caplog.messages == []
        connection.config_set("maxmemory", "100mb")
        store.reconcile(config_of(own.url))
        assert ["allkeys-lru" in said for said in caplog.messages] == [True]
        connection.execute_command("ACL", "SETUSER", "default", "-info")
        store.reconcile(config_of(own.url))
        assert len(caplog.messages) == 1


def test_a_given_store_is_waited_for_less_than_the_embedded_one(nowhere: str) -> None:
    assert store.start_patience_seconds(config_of(nowhere)) < store.start_patience_seconds(load(None, {}, {}))


def test_events_of_the_config_tell_whose_it_is(valkey: Valkey) -> None:
    config = config_of(valkey.url, "http://a:1")
    store.reconcile(config)
    assert {event.by for event in store.pool_of(config).events()} == {f"config@{socket.gethostname()}"}


@pytest.mark.parametrize(("host", "warned"), [("elsewhere", True), ("host", False)])
def test_servers_that_another_hosts_config_may_still_name_leave_with_a_warning(
    valkey: Valkey,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    warned: bool,
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    config = config_of(valkey.url, "http://a:1", "http://b:2", "http://c:3")
    store.reconcile(config)
    with redis.Redis.from_url(valkey.url, decode_responses=True) as connection:
        Worker(connection, store.keys_of(config), "w1")  # on the host called "host"
        store.reconcile(config)
        assert caplog.text == ""
        store.reconcile(config.model_copy(update={"servers": config.servers[:1]}))
    said = "b:2, c:3 left the pool, as the config of this host does not name them; if that of host still does"
    assert (said in caplog.text) == warned
