"""Bodies of every size and framing arrive unchanged in both directions, and are never held whole."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.integration.fleet import Fleet
from tests.integration.load import Client
from tests.integration.servers import Behaviour, Request, response

MIB = 1 << 20
SIZES = [0, 1, 65536, pytest.param(100 * MIB, marks=pytest.mark.slow)]
GROWTH = 20 * MIB

_PIECE_BYTES = 61_003  # no multiple of anything


def pieces(size: int) -> Iterator[bytes]:
    """Generate a body that nobody can repeat a part of unnoticed; the same for the same size."""
    source = random.Random(size)
    for start in range(0, size, _PIECE_BYTES):
        yield source.randbytes(min(_PIECE_BYTES, size - start))


def digest(body: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for piece in body:
        found.update(piece)
    return found.hexdigest()


def framed(size: int, chunked: bool) -> Iterator[bytes]:
    for piece in pieces(size):
        yield b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
    if chunked:
        yield b"0\r\n\r\n"


def framing(size: int, chunked: bool) -> str:
    return "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"


def say_digest(request: Request) -> bytes:
    return response(200, digest(iter([request.body])).encode())


def answer_with(size: int, chunked: bool) -> Behaviour:
    def answer(_request: Request) -> Iterator[bytes]:
        yield f"HTTP/1.1 200 OK\r\n{framing(size, chunked)}\r\n\r\n".encode()
        yield from framed(size, chunked)

    return answer


class Memory:
    """Resident memory of a process, in bytes."""

    def __init__(self, pid: int) -> None:
        self._process = Path(f"/proc/{pid}")
        (self._process / "clear_refs").write_text("5")  # from here on the peak is a new one
        self._before = self._read("VmRSS")

    def growth(self) -> int:
        """Return how much higher its peak was than where it began."""
        return self._read("VmHWM") - self._before

    def _read(self, field: str) -> int:
        found = re.search(rf"{field}:\s*(\d+) kB", (self._process / "status").read_text())
        assert found
        return int(found[1]) * 1024


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
def test_an_upload_arrives_unchanged(plane: Fleet, serve: Serve, size: int, chunked: bool) -> None:
    [server] = serve(say_digest)
    memory = Memory(plane.balancer.worker_pids()[0])
    with Client(plane.url) as client:
        client.send(client.head("POST", "/", framing(size, chunked)))
        for piece in framed(size, chunked):
            client.send(piece)
        assert client.receive().body.decode() == digest(pieces(size))
        assert client.ask("POST", body=b"next").status == 200  # the connection is in step
    first = next(request for request in server.requests if request.method == "POST")
    assert first.header("Content-Length") == (None if chunked else str(size))
    assert memory.growth() < GROWTH


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", SIZES)
def test_a_download_arrives_unchanged(plane: Fleet, serve: Serve, size: int, chunked: bool) -> None:
    serve(answer_with(size, chunked))
    memory = Memory(plane.balancer.worker_pids()[0])
    with Client(plane.url) as client:
        for _ in range(2):  # the connection is in step
            answer = client.ask()
            assert answer.header("Content-Length") == (None if chunked else str(size))
            assert digest(iter([answer.body])) == digest(pieces(size))
    assert memory.growth() < GROWTH


def test_a_download_that_ends_with_the_connection_is_chunked_for_the_client(
    plane: Fleet, serve: Serve
) -> None:
    """So the client can tell an end from a cut, and keeps its connection."""

    def until_close(_request: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        yield from pieces(MIB)
        raise ConnectionAbortedError  # the server closes

    serve(until_close)
    with Client(plane.url) as client:
        for _ in range(2):
            answer = client.ask()
            assert answer.header("Transfer-Encoding") == "chunked"
            assert digest(iter([answer.body])) == digest(pieces(MIB))


@pytest.mark.slow
def test_a_client_that_reads_nothing_holds_the_server_back(plane: Fleet, serve: Serve) -> None:
    """Nothing is gathered for it beyond what the kernel takes: the worker's memory stays as it is."""
    sent: list[int] = []

    def endless(_request: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n"
        piece = bytes(65536)
        while True:
            sent.append(len(piece))
            yield piece

    serve(endless)
    memory = Memory(plane.balancer.worker_pids()[0])
    with Client(plane.url) as client:
        client.send(client.head())
        assert client.ended() is False  # the first byte has come, the next are not read
        plane.wait_idle(10)  # given up after the time-out
    assert sum(sent) < 64 * MIB
    assert memory.growth() < GROWTH


def test_trailers_arrive(plane: Fleet, serve: Serve) -> None:
    def with_trailer(_request: Request) -> bytes:
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nChecksum: 42\r\n\r\n"

    serve(with_trailer)
    with Client(plane.url) as client:
        client.send(client.head("GET", "/", "Connection: close"))
        data = b""
        while piece := client.socket.recv(65536):
            data += piece
    assert data.endswith(b"\r\n0\r\nChecksum: 42\r\n\r\n")
