from __future__ import annotations

import signal
from contextlib import contextmanager
from threading import Thread

import pytest

from lb.admin.drain import _busy
from lb.model import Admin, WorkerId
from lb.store.session import Session
from tests.support import eventually

WORKER = WorkerId("host-1-abc")


@pytest.fixture
def hold(connection, keys):
    """Make a worker claim connections to a server, as registering does."""

    def act(**held: int) -> None:
        flat = [part for server, count in held.items() for part in (server.replace("_", ":"), count)]
        own = {"worker": keys.worker(WORKER), "worker_connections": keys.worker_connections(WORKER)}
        Session(connection, keys).run("register", WORKER, "host", 1, 0, 1, *flat, **own)

    return act


def test_drained_server_is_not_eligible(run, pool, add):
    add()
    outcome = run("drain", "localhost:5001")

    assert (outcome.status, outcome.out) == (0, "localhost:5001 drains, it gets no new requests\n")
    [status] = pool.list()
    assert Admin.DRAIN is status.server.admin
    assert not status.server.eligible


def test_unknown_server_is_refused_and_not_waited_for(run):
    outcome = run("drain", "localhost:5001", "--wait")

    assert (outcome.status, outcome.out) == (1, "")


def test_wait_returns_at_once_without_connections(run, add):
    add()
    outcome = run("drain", "localhost:5001", "--wait")

    assert (outcome.status, outcome.lines[-1]) == (0, "no connections left")


def test_wait_gives_up_at_its_timeout_and_the_drain_stays(run, pool, add, hold):
    add()
    hold(localhost_5001=2)
    outcome = run("drain", "localhost:5001", "--wait", "--timeout", "0s")

    assert outcome.status == 1
    assert "connections are left after 0s: localhost:5001 has 2" in outcome.err
    assert Admin.DRAIN is pool.list()[0].server.admin


def test_on_a_terminal_it_tells_what_it_waits_for(run, add, hold):
    """An IPv6 address is no markup."""
    add("http://[fd00::5]:80")
    hold(**{"[fd00::5]:80": 2})
    words = ("drain", "[fd00::5]:80", "--wait", "--timeout", "500ms")
    outcome = run(*words, FORCE_COLOR="1", COLUMNS="100")

    assert "waiting for connections to end: [fd00::5]:80 has 2" in outcome.err


@contextmanager
def waiting(run, pool):
    """Run the command, which waits, until the block has put an end to that; its outcome is the list's one."""
    outcomes = []
    thread = Thread(target=lambda: outcomes.append(run("drain", "localhost:5001", "--wait")))
    thread.start()
    eventually(lambda: pool.list()[0].server.admin is Admin.DRAIN)
    assert thread.is_alive()
    yield outcomes
    thread.join(10)


def test_an_interrupted_wait_says_that_the_drain_goes_on(start, pool, add, hold):
    add()
    hold(localhost_5001=2)
    process = start("drain", "localhost:5001", "--wait", PYTHONUNBUFFERED="1")
    assert "drains" in process.stdout.readline()
    process.send_signal(signal.SIGINT)

    _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert err == "lb-admin: error: interrupted; what is drained stays so, `lb-admin undrain` ends it\n"
    assert Admin.DRAIN is pool.list()[0].server.admin


def test_wait_ends_when_the_last_connection_ends(run, pool, add, hold):
    add()
    hold(localhost_5001=1)
    with waiting(run, pool) as outcomes:
        hold()

    assert outcomes[0].status == 0


def test_wait_is_refused_when_someone_makes_the_server_ready(run, pool, add, hold):
    add()
    hold(localhost_5001=1)
    with waiting(run, pool) as outcomes:
        pool.set_admin("localhost:5001", Admin.READY, "test")

    assert outcomes[0].status == 1
    assert "made ready again" in outcomes[0].err


def test_only_the_named_servers_are_waited_for(pool, add, hold):
    add()
    add("http://localhost:5002")
    hold(localhost_5001=1, localhost_5002=2)
    pool.set_admin("localhost:5002", Admin.DRAIN, "test")

    assert _busy(pool.list(), {"localhost:5002", "localhost:5003"}) == {"localhost:5002": 2}


def test_json_is_the_drained_servers(run, add):
    add()
    outcome = run("drain", "localhost:5001", "--wait", "--json")

    assert [(server["id"], server["admin"]) for server in outcome.json] == [("localhost:5001", "drain")]


def test_malformed_timeout_is_wrong_usage(run):
    assert run("drain", "localhost:5001", "--wait", "--timeout", "soon").status == 2
