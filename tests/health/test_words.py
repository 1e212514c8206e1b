from __future__ import annotations

import socket
from http.client import BadStatusLine, IncompleteRead, RemoteDisconnected

import pytest
from urllib3.exceptions import ProtocolError

from lb.health.words import cause_of, words


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionRefusedError(), "connection refused"),
        (ConnectionResetError(), "connection reset"),
        (RemoteDisconnected(), "connection closed without an answer"),
        (socket.gaierror(socket.EAI_NONAME, "x"), "host name not found"),
        (BadStatusLine("SSH-2.0"), "the answer is not HTTP"),
        (BadStatusLine("\x15\x03\x01"), "the answer is TLS, not plain HTTP"),
        (IncompleteRead(b""), "the body was cut off"),
        (TimeoutError(), "timed out after 2 s"),
        (ProtocolError("broken", IncompleteRead(b"")), "the body was cut off"),
        (FileNotFoundError(2, "No such file or directory"), "no such file or directory"),
    ],
)
def test_an_error_in_words(error: Exception, expected: str) -> None:
    assert words(error, 2.0) == expected


def test_the_cause_is_what_urllib3_wraps() -> None:
    cause = TimeoutError()
    assert cause_of(ProtocolError("broken", cause)) is cause
    assert cause_of(cause) is cause
