"""A running balancer changes its configuration, its size and its program, and no client notices."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from lb.processes.control import HUNG_SECONDS
from tests.integration.balancer import Balancer
from tests.integration.load import Client, CutError, Load
from tests.integration.raw import Connection, RawServer
from tests.integration.servers import HttpServer, Request, response
from tests.support import eventually

PIECE = b"x" * 1024
PIECES = 64


class LongServer(HttpServer):
    """Answers at once, but for /late, which waits for `go`, and /download, whose last half does."""

    def __init__(self) -> None:
        super().__init__(self._behave)
        self.go = threading.Event()

    def _behave(self, request: Request) -> Any:
        if request.target == "/download":
            return self._download()
        if request.target == "/late":
            assert self.go.wait(60)
            return response(200, PIECE * 4 * PIECES)
        return response(200, self.id.encode())

    def _download(self) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(PIECE) * PIECES)
        yield PIECE * (PIECES // 2)
        assert self.go.wait(60)
        yield PIECE * (PIECES // 2)


@pytest.fixture
def server() -> Iterator[LongServer]:
    with LongServer() as running:
        yield running


@pytest.fixture
def balancer(server: LongServer) -> Iterator[Balancer]:
    with Balancer({"servers": [server.url], "gracefulTimeout": "2s"}, workers=2) as running:
        yield running


def configure(balancer: Balancer, **settings: Any) -> None:
    values = json.loads(balancer.config_path.read_text())
    balancer.config_path.write_text(json.dumps({**values, **settings}))


def send(balancer: Balancer, number: signal.Signals) -> None:
    balancer.process.send_signal(number)


def reload(balancer: Balancer, number: signal.Signals = signal.SIGHUP) -> None:
    """Reload, and wait until that is done and all workers are others."""
    before, done = set(balancer.worker_pids()), balancer.log.count("reload: done")
    send(balancer, number)
    eventually(lambda: balancer.log.count("reload: done") > done, seconds=30, what="the reload")
    eventually(lambda: not before & set(balancer.worker_pids()), seconds=30, what="the old workers' end")


def wait_workers(balancer: Balancer, count: int) -> None:
    eventually(lambda: len(balancer.worker_pids()) == count, seconds=20, what=f"{count} workers")


def test_clients_do_not_notice_reloads_and_upgrades(balancer: Balancer) -> None:
    stores = balancer.pids("store")
    with Load(balancer.url) as load:
        reload(balancer)
        reload(balancer, signal.SIGUSR2)
        reload(balancer, signal.SIGUSR2)  # what was adopted can be left again
        reload(balancer)
    assert load.errors == []
    assert len(load.outcomes) > 100
    assert balancer.pids("store") == stores
    wait_workers(balancer, 2)
    assert len(balancer.pids()) == 5


def test_clients_do_not_notice_more_and_fewer_workers(balancer: Balancer) -> None:
    with Load(balancer.url) as load:
        send(balancer, signal.SIGTTIN)
        wait_workers(balancer, 3)
        for count in (2, 1):
            send(balancer, signal.SIGTTOU)
            wait_workers(balancer, count)
        send(balancer, signal.SIGTTOU)  # the last one stays
        balancer.wait_log("SIGTTOU, workers now: 1\n(.*\n)*.*SIGTTOU, workers now: 1")
    assert load.errors == []
    assert len(balancer.worker_pids()) == 1


def echo(connection: Connection) -> None:
    connection.read_head()
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
    while data := connection.read(4):
        connection.send(data)


def test_a_tunnel_lives_on_in_the_old_worker() -> None:
    with ExitStack() as stack:
        server = stack.enter_context(RawServer(echo))
        config = {"servers": [f"http://127.0.0.1:{server.port}"], "healthCheck": {"fall": 1000}}
        balancer = stack.enter_context(Balancer(config))
        with Client(balancer.url) as client:
            client.send(client.head("GET", "/", "Upgrade: echo", "Connection: Upgrade"))
            assert client.receive().status == 101
            for number, done in (
                (signal.SIGHUP, "reload: done"),
                (signal.SIGUSR2, "upgrade: (.*\n)*.*reload: done"),
            ):
                send(balancer, number)
                balancer.wait_log(done, 90)
                client.send(b"ping")
                assert client.socket.recv(4) == b"ping"
        wait_workers(balancer, 1)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_a_download_lives_on_in_the_old_worker(
    balancer: Balancer, server: LongServer, number: signal.Signals
) -> None:
    with Client(balancer.url) as client:
        client.send(client.head("GET", "/download"))
        eventually(lambda: any(one.target == "/download" for one in server.requests))
        done = len(balancer.worker_pids())
        send(balancer, number)
        balancer.wait_log("reload: done", 30)
        eventually(lambda: len(balancer.worker_pids()) == done + 1, seconds=30)  # the one with the download
        server.go.set()
        assert client.receive().body == PIECE * PIECES
    wait_workers(balancer, 2)


def test_a_client_that_sends_on_gets_all_of_its_last_answer(balancer: Balancer, server: LongServer) -> None:
    """It asks for more while it takes the answer slowly, and cannot know yet that there will be no other."""
    before = balancer.worker_pids()
    with Client(balancer.url) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # our side holds the rest
        client.send(client.head("GET", "/late"))
        eventually(lambda: server.requests)
        send(balancer, signal.SIGHUP)
        balancer.wait_log("reload: done", 30)
        eventually(lambda: not any(accepts(pid, balancer.url) for pid in before), seconds=30)
        server.go.set()
        client.socket.recv(1, socket.MSG_PEEK)
        for _ in range(20):
            client.send(client.head())
            threading.Event().wait(0.005)  # in packets of their own
        answer = client.receive()
    assert answer.header("Connection") == "close"
    assert answer.body == PIECE * 4 * PIECES


def accepts(pid: int, url: str) -> bool:
    """Whether a process has the socket open on which this URL's clients come in."""
    port, listening = f":{int(url.rpartition(':')[2]):04X}", "0A"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{one[9]}]" for one in lines if one[1].endswith(port) and one[3] == listening}
    with suppress(FileNotFoundError):
        return any(str(entry.readlink()) in inodes for entry in Path(f"/proc/{pid}/fd").iterdir())
    return False


def test_new_clients_come_in_while_a_worker_hangs(balancer: Balancer) -> None:
    """Workers leave clients to each other, and one that does not come must not be waited for."""
    hung = balancer.worker_pids()[0]
    os.kill(hung, signal.SIGSTOP)
    try:
        with ExitStack() as stack:
            began = time.monotonic()
            clients = [stack.enter_context(Client(balancer.url)) for _ in range(64)]
            for client in clients:
                client.send(client.head())
            assert {client.receive().status for client in clients} == {200}
            assert time.monotonic() - began < HUNG_SECONDS / 2
    finally:
        os.kill(hung, signal.SIGCONT)


def test_what_is_configured_anew_is_in_force(balancer: Balancer) -> None:
    with HttpServer() as other:
        configure(balancer, servers=[other.url], workers=1)
        reload(balancer)
        wait_workers(balancer, 1)
        with Client(balancer.url) as client:
            assert client.ask().server == other.id


def test_a_bad_configuration_changes_nothing_and_all_of_it_is_said(balancer: Balancer) -> None:
    before = balancer.pids()
    configure(balancer, lbAlgo="least-conections", workers="many")
    send(balancer, signal.SIGHUP)
    balancer.wait_log("reload: the configuration is not valid, all stays as it was")
    assert re.search(r'reload: .*lbAlgo: .*did you mean "least-connections"', balancer.log)
    assert re.search(r"reload: .*workers: expected a whole number", balancer.log)
    assert balancer.pids() == before
    send(balancer, signal.SIGUSR2)
    balancer.wait_log("upgrade: the new program cannot start")
    assert sorted(balancer.pids()) == sorted(before)


def test_a_bad_configuration_during_a_reload_leaves_the_workers_of_one(balancer: Balancer) -> None:
    before = set(balancer.worker_pids())
    send(balancer, signal.SIGHUP)
    eventually(lambda: set(balancer.worker_pids()) - before, seconds=20, what="a new worker")
    configure(balancer, workers="many")
    send(balancer, signal.SIGHUP)
    balancer.wait_log("reload: the configuration is not valid, all stays as it was", 30)
    eventually(lambda: not before & set(balancer.worker_pids()), seconds=30, what="the old workers' end")
    assert len(balancer.worker_pids()) == 2


def test_signals_that_are_sent_to_every_process_end_none_and_stop_none(balancer: Balancer) -> None:
    """As by `systemctl kill -s HUP lb`, without `--kill-whom=main`."""
    eventually(lambda: len(balancer.pids()) == 5 and all(map(ignores_hangups, balancer.pids())))
    before = balancer.pids()
    for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1):
        for pid in before:
            os.kill(pid, number)
    send(balancer, signal.SIGTTIN)
    wait_workers(balancer, 3)
    assert set(before) <= set(balancer.pids())
    assert not [pid for pid in before if is_stopped(pid)]


def ignores_hangups(pid: int) -> bool:
    ignored = re.search(r"SigIgn:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return ignored is not None and bool(int(ignored[1], 16) & 1 << signal.SIGHUP - 1)


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_storm_of_reloads_is_two_of_them_and_hides_no_other_signal(balancer: Balancer) -> None:
    for _ in range(5000):
        send(balancer, signal.SIGHUP)
    assert balancer.stop() == 0


def test_a_file_that_is_gone_is_no_empty_configuration(balancer: Balancer, server: LongServer) -> None:
    """As in the moment in which an editor or a deployment replaces it."""
    balancer.config_path.rename(balancer.home / "moved")
    send(balancer, signal.SIGHUP)
    balancer.wait_log(
        "reload: config.json: no such file\n.*reload: the configuration is not valid, all stays"
    )
    send(balancer, signal.SIGUSR2)
    balancer.wait_log("upgrade: the new program cannot start")
    with Client(balancer.url) as client:
        assert client.ask().server == server.id


def test_a_reload_does_not_end_an_upgrade_that_is_under_way(balancer: Balancer) -> None:
    send(balancer, signal.SIGUSR2)
    eventually(lambda: balancer.pids("rehearse"), seconds=20)
    send(balancer, signal.SIGHUP)
    balancer.wait_log("upgrade: the new program takes over\n(.*\n)*.*reload: done", 30)


def test_a_helper_that_takes_its_time_to_end_is_followed_by_another_over_an_upgrade(
    balancer: Balancer,
) -> None:
    """The program that asked it to end is not the one that sees it end."""
    (slow,) = balancer.pids("api")
    os.kill(slow, signal.SIGSTOP)  # until it is killed
    send(balancer, signal.SIGHUP)
    balancer.wait_log("reload: done", 30)
    send(balancer, signal.SIGUSR2)
    balancer.wait_log("upgrade: the new program takes over\n(.*\n)*.*reload: done", 30)

    def answers() -> bool:
        with suppress(OSError, CutError), Client(balancer.admin_url) as client:
            return client.ask().status == 200
        return False

    eventually(lambda: len(balancer.pids("api")) == 1 and answers(), seconds=20)


def test_what_cannot_change_stays_and_that_is_said(balancer: Balancer) -> None:
    configure(balancer, port="127.0.0.1:1")
    reload(balancer)
    assert "reload: port cannot change while lb runs, it stays as it was until a restart" in balancer.log
    with Client(balancer.url) as client:
        assert client.ask().status == 200


def test_quit_ends_all_at_once(server: LongServer) -> None:
    with Balancer({"servers": [server.url], "gracefulTimeout": "1h"}) as balancer:
        with Client(balancer.url) as client:
            client.send(client.head("GET", "/download"))
            eventually(lambda: any(one.target == "/download" for one in server.requests))
            assert balancer.stop(signal.SIGQUIT) == 0
            server.go.set()


def test_systemd_is_told(server: LongServer, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)

        def wait_told(fact: str) -> None:
            while fact not in systemd.recv(4096).decode().split("\n"):
                pass

        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "500000"}
        with Balancer({"servers": [server.url]}, environment=environment) as balancer:
            wait_told("READY=1")
            wait_told("WATCHDOG=1")
            for number in (signal.SIGHUP, signal.SIGUSR2):
                send(balancer, number)
                for fact in ("RELOADING=1", "READY=1", "WATCHDOG=1"):
                    wait_told(fact)
            assert balancer.stop() == 0
            wait_told("STOPPING=1")


#: Does what systemd does: puts a socket at descriptor 3 and says for whom.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "lb", "run", *sys.argv[2:]])
"""


def test_the_socket_that_systemd_holds_is_used(server: LongServer, store_url: str, tmp_path: Path) -> None:
    """Clients may connect before the balancer runs, and while it restarts."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Client(url_of(listener)) as client:
        client.send(client.head())
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                ACTIVATE,
                str(listener.fileno()),
                "--redis",
                store_url,
                "--server",
                server.url,
            ],
            pass_fds=[listener.fileno()],
            env={
                **os.environ,
                "LB_KEY_PREFIX": "activation",
                "LB_WORKERS": "1",
                "LB_ADMIN_LISTEN": "127.0.0.1:0",
                "LB_PORT": "127.0.0.1:1",
            },
            cwd=tmp_path,
        )
        try:
            assert client.receive().server == server.id
        finally:
            process.terminate()
            assert process.wait(30) == 0


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"
