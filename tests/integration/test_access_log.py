"""The access log of a whole balancer: every request has its line, whatever happens to files and processes."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.balancer import Balancer
from tests.integration.load import Client, Load
from tests.integration.servers import HttpServer, Request, response
from tests.support import eventually

Line = dict[str, Any]


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as running:
        yield running


def logging(server: HttpServer, path: Path, workers: int = 2, **settings: Any) -> Balancer:
    log = {"path": str(path), "format": "json"}
    return Balancer({"servers": [server.url], "accessLog": log, **settings}, workers=workers)


def lines(path: Path) -> list[Line]:
    """Read a log; each line must be whole."""
    text = path.read_text()
    assert text.endswith("\n") or not text
    return [json.loads(line) for line in text.splitlines()]


def test_rotation_under_load_loses_no_line_and_puts_none_in_the_wrong_file(
    server: HttpServer, tmp_path: Path
) -> None:
    path = tmp_path / "access.log"
    files = [tmp_path / "access.log.1", tmp_path / "access.log.2", path]
    with logging(server, path) as balancer:
        processes = sorted(balancer.pids())
        with Load(balancer.url, connections=12) as load:
            for rotated in files[:2]:
                before = len(load.outcomes)
                eventually(lambda before=before: len(load.outcomes) > before + 300, seconds=30)
                path.rename(rotated)
                balancer.process.send_signal(signal.SIGUSR1)
                eventually(path.exists, seconds=20, what="the new file")
            before = len(load.outcomes)
            eventually(lambda: len(load.outcomes) > before + 300, seconds=30)
        assert load.errors == []
        assert sorted(balancer.pids()) == processes
        assert balancer.stop() == 0
    found = [lines(file) for file in files]
    assert sum(map(len, found)) == len(load.outcomes)
    assert all(len(part) > 100 for part in found)
    by_worker: dict[str, list[list[str]]] = defaultdict(lambda: [[], [], []])
    for number, part in enumerate(found):
        for line in part:
            by_worker[line["requestId"][:16]][number].append(line["time"])
    assert by_worker
    for first, second, third in by_worker.values():
        assert max(first, default="") <= min(second, default="~")
        assert max(second, default="") <= min(third, default="~")
    assert len({line["requestId"] for part in found for line in part}) == len(load.outcomes)


def test_a_reload_loses_no_line(server: HttpServer, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with logging(server, path) as balancer:
        with Load(balancer.url, connections=4) as load:
            balancer.process.send_signal(signal.SIGHUP)
            balancer.wait_log("reload: done", seconds=30)
            before = len(load.outcomes)
            eventually(lambda: len(load.outcomes) > before + 100, seconds=30)
        assert load.errors == []
        assert balancer.stop() == 0
    found = lines(path)
    assert len(found) == len(load.outcomes)
    assert len({line["requestId"][:16] for line in found}) > 1, "lines of the old workers and of the new"


def test_a_line_comes_though_no_other_follows(server: HttpServer, tmp_path: Path) -> None:
    with logging(server, tmp_path / "log", workers=1) as balancer:
        with Client(balancer.url) as client:
            client.ask()
            eventually((tmp_path / "log").read_text, seconds=10)


def test_at_the_end_requests_in_flight_have_their_lines(tmp_path: Path) -> None:
    """Those that finish in time, and those that are cut."""
    go_on = {"/soon": threading.Event(), "/late": threading.Event()}
    asked: list[str] = []

    def hang(request: Request) -> bytes:
        if request.target in go_on:
            asked.append(request.target)
            go_on[request.target].wait(60)
        return response(200, b"done")

    with HttpServer(hang) as server:
        with logging(server, tmp_path / "log", workers=1, gracefulTimeout="2s") as balancer:
            with Client(balancer.url) as soon, Client(balancer.url) as late:
                soon.send(soon.head(target="/soon"))
                late.send(late.head(target="/late"))
                eventually(lambda: len(asked) == 2, seconds=10)
                balancer.process.send_signal(signal.SIGTERM)
                balancer.wait_log("stopping")
                go_on["/soon"].set()
                assert soon.receive().status == 200
                assert balancer.wait() == 0
        go_on["/late"].set()
    found = {line["target"]: line for line in lines(tmp_path / "log")}
    assert (found["/soon"]["status"], found["/soon"]["reason"]) == (200, None)
    assert (found["/late"]["status"], found["/late"]["reason"]) == (None, "stopped")
    assert found["/late"]["server"] == server.id


def test_a_reader_that_stalls_stops_no_traffic(server: HttpServer, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with logging(server, path, workers=1) as balancer:
            target = "/" + "x" * 2000
            with Client(balancer.url) as client:
                for _ in range(1500):
                    assert client.ask(target=target).status == 200
            balancer.wait_log(r"access log: lines lost: \d+ \(.*: its reader does not keep up\)")
            assert balancer.log.count("lines lost") == 1
            assert balancer.stop() == 0
        data = b""
        while more := os.read(reader, 1 << 16):
            data += more
    finally:
        os.close(reader)
    assert {json.loads(line)["target"] for line in data.splitlines()} == {target}


def test_a_place_that_cannot_be_written_is_told_and_nothing_starts(
    server: HttpServer, tmp_path: Path
) -> None:
    said = logging(server, tmp_path / "no" / "log").refusal()
    assert (
        said == f"lb: error: accessLog.path: cannot write to {tmp_path}/no/log: No such file or directory\n"
    )


def test_a_reload_that_names_such_a_place_changes_nothing(server: HttpServer, tmp_path: Path) -> None:
    with logging(server, tmp_path / "log", workers=1) as balancer:
        workers = balancer.worker_pids()
        values = json.loads(balancer.config_path.read_text())
        values["accessLog"]["path"] = str(tmp_path / "no" / "log")
        balancer.config_path.write_text(json.dumps(values))
        balancer.process.send_signal(signal.SIGHUP)
        balancer.wait_log(r"reload: accessLog\.path: cannot write to .*/no/log", seconds=30)
        balancer.wait_log("all stays as it was")
        assert balancer.worker_pids() == workers
        with Client(balancer.url) as client:
            assert client.ask().status == 200


def test_standard_output_and_json_for_everything(server: HttpServer) -> None:
    environment = {"LB_ACCESS_LOG": "stdout", "LB_ACCESS_LOG_FORMAT": "json", "LB_LOG_FORMAT": "json"}
    balancer = Balancer({"servers": [server.url]}, workers=2, environment=environment)
    balancer.start()
    try:
        place = balancer.wait_log(r"listening on (\S+) .* admin on", seconds=30)[1]
        with Client(place) as client:
            assert client.ask(target="/a").status == 200
        assert balancer.stop() == 0
        said = [json.loads(line) for line in balancer.log.splitlines()]
    finally:
        balancer._discard()
    assert [line["target"] for line in said if "target" in line] == ["/a"]
    messages = {(line["process"], line["level"], line["message"]) for line in said if "message" in line}
    assert ("supervisor", "info", "stopping") in messages
    assert all(set(line) >= {"time", "level", "process", "message"} for line in said if "target" not in line)
