"""Clients that write before they read get the answer that came meanwhile; the standard library's is one."""

from __future__ import annotations

import http.client
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from tests.integration.conftest import Play
from tests.integration.fleet import Fleet
from tests.integration.raw import Connection

MIB = 1 << 20


def upload(url: str, size: int, headers: dict[str, str]) -> int:
    """Upload so much, read the answer, and return its status."""
    place = urlsplit(url)
    assert place.hostname
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
    connection.request("POST", "/", bytes(size), headers)
    answer = connection.getresponse()
    assert len(answer.read()) == int(answer.headers["Content-Length"])
    connection.close()
    return answer.status


@pytest.mark.parametrize("stays", [False, True])
def test_the_servers_early_answer_arrives(plane: Fleet, play: Play, stays: bool) -> None:
    def refuse(connection: Connection) -> None:
        connection.read_head()
        connection.send(b"HTTP/1.1 413 No\r\nContent-Length: 1024\r\n\r\n" + bytes(1024))
        if stays:
            connection.wait_end()

    play(refuse)
    for run in range(20):
        assert upload(plane.url, 32 * MIB, {"Expect": "100-continue"} if run % 2 else {}) == 413


def test_the_balancers_own_refusal_arrives(plane: Fleet) -> None:
    """Also when several clients at once send more than may be."""
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(upload, plane.url, 100 * MIB + 1, {"X": str(run)}) for run in range(3)]
        assert [run.result() for run in runs] == [413] * 3
