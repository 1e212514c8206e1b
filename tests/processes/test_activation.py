from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from lb.errors import LBError
from lb.processes.activation import given

FIRST_FD = 200  # 3 and what follows are this process's own


@pytest.fixture
def passed() -> Iterator[list[tuple[str, int]]]:
    """Two sockets as systemd would pass them on; returns their names."""
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        for place, sock in enumerate(socks):
            os.dup2(sock.fileno(), FIRST_FD + place)
        yield [sock.getsockname() for sock in socks]


def environ(**values: Any) -> dict[str, str]:
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", **values, "OTHER": "stays"}


@pytest.mark.parametrize(
    ("names", "order"), [("lb.socket:admin", ["client", "admin"]), ("admin:web", ["admin", "client"])]
)
def test_the_socket_that_is_named_so_is_the_admins(
    passed: list[tuple[str, int]], names: str, order: list[str]
) -> None:
    variables = environ(LISTEN_FDNAMES=names)
    sockets = given(variables, FIRST_FD)
    assert {name: sock.getsockname() for name, sock in sockets.items()} == dict(
        zip(order, passed, strict=True)
    )
    assert variables == {"OTHER": "stays"}
    assert all(fcntl.fcntl(sock, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for sock in sockets.values())
    for sock in sockets.values():
        sock.close()


def test_two_for_clients_are_refused(passed: list[tuple[str, int]]) -> None:
    with pytest.raises(LBError, match="expected one stream socket for clients and, "):
        given(environ(), FIRST_FD)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(FIRST_FD)


def test_what_is_meant_for_another_process_is_left_alone() -> None:
    assert given({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == given({}) == {}
