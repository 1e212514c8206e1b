"""A store that lets nobody in is not one that is away: its own word is passed on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lb.errors import StoreUnavailableError, StoreUnreachableError
from lb.store.client import connect, open_pool
from lb.store.keys import Keys
from lb.store.lease_wire import dial
from tests.support import Valkey, free_port


@contextmanager
def doorman(word: bytes) -> Iterator[str]:
    """Says a word to each who connects, and hangs up; a client that is still sending sees only that."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def turn_away() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client:
                        client.sendall(word)

        turning = threading.Thread(target=turn_away, daemon=True)
        turning.start()
        try:
            yield f"redis://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            turning.join(10)


def test_a_store_without_room_for_another_client_says_so(tmp_path: Path) -> None:
    port = free_port()
    with Valkey(tmp_path) as store, connect(store.url) as owner:
        owner.config_set("port", port)
        owner.config_set("maxclients", 1)
        for url in (store.url, f"redis://127.0.0.1:{port}"):
            for _ in range(5):  # whether the word or the end comes first differs
                with pytest.raises(
                    StoreUnavailableError, match="lets nobody in: max number of clients"
                ) as told:
                    open_pool(url, Keys()).ping()
                assert not isinstance(told.value, StoreUnreachableError)  # it runs there
            with pytest.raises(StoreUnavailableError, match="max number of clients reached"):
                dial(connect(url))


def test_any_word_at_the_door_is_passed_on() -> None:
    with doorman(b"-DENIED protected mode\r\n") as url:
        for _ in range(3):
            with pytest.raises(StoreUnavailableError, match="lets nobody in: DENIED protected mode"):
                open_pool(url, Keys()).ping()


def test_who_hangs_up_without_a_word_cannot_be_reached() -> None:
    with doorman(b"") as url, pytest.raises(StoreUnreachableError, match="cannot be reached"):
        open_pool(url, Keys()).ping()
