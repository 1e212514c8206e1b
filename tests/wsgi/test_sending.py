"""Sending to a server that takes all, nothing, or answers meanwhile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from lb.wsgi import sending
from lb.wsgi.sending import send_unless_answered

Pair = tuple[socket.socket, socket.socket]

MUCH = bytes(range(256)) * 65536


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        ours.settimeout(10)
        theirs.settimeout(10)
        yield ours, theirs


def take(sock: socket.socket, size: int, taken: list[bytes]) -> None:
    with sock.makefile("rb") as stream:
        taken.append(stream.read(size))


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.0 102 Wait", b"HTTP/1.1 200 OK", b"HT"]
)
def test_all_arrives_if_it_is_taken(pair: Pair, said: bytes) -> None:
    """Though there is an answer already: a server may answer while it reads."""
    ours, theirs = pair
    theirs.sendall(said)
    taken: list[bytes] = []
    taking = threading.Thread(target=take, args=(theirs, len(MUCH), taken))
    taking.start()
    send_unless_answered(ours, MUCH, 10)
    taking.join()
    assert taken == [MUCH]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("said", [b"HTTP/1.1 413 No\r\n\r\n", b"HTTP/1.0 200", b"SSH-2.0", b""])
def test_an_answer_or_the_end_is_noticed(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, said: bytes, late: bool
) -> None:
    """Before the first byte, and while it is waited for that more is taken."""
    ours, theirs = pair
    monkeypatch.setattr(sending, "_ANSWERED_SECONDS", 0.05)

    def speak() -> None:
        if said:
            theirs.sendall(said)
        else:
            theirs.shutdown(socket.SHUT_WR)

    timer = threading.Timer(0.1 if late else 0, speak)
    timer.start()
    if not late:
        timer.join()
    with pytest.raises(BrokenPipeError):
        send_unless_answered(ours, MUCH, 10)
    timer.join()
    assert ours.recv(100) == said


def test_who_takes_nothing_is_silent(pair: Pair) -> None:
    ours, _ = pair
    with pytest.raises(TimeoutError):
        send_unless_answered(ours, MUCH, 0.05)
