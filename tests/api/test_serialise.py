"""The shapes themselves are pinned where they are shown: tests/admin and the routes' tests."""

from __future__ import annotations

import dataclasses

import pytest

from lb.api import serialise
from lb.model import Admin, Event, Health, RemovedServer, Server, ServerId, Source, WorkerId, WorkerStatus

SERVER = Server(ServerId("a:1"), "http://a:1", 2, Admin.DRAIN, Health.DOWN, Source.CONFIG, "refused", 1.5)


@pytest.mark.parametrize(
    ("shape", "value", "more"),
    [
        (serialise.server, SERVER, {"eligible"}),
        (
            serialise.removed_server,
            RemovedServer(ServerId("a:1"), "http://a:1", 1, Source.ADMIN, "", 1.0),
            set(),
        ),
        (serialise.worker, WorkerStatus(WorkerId("w"), "h", 1, 1.0, 2.0, 3, 4), set()),
        (serialise.event, Event("1-0", 1.0, "added", "a:1", "test", ""), set()),
    ],
)
def test_every_field_of_a_value_is_told(shape, value, more):
    names = {
        field.name.replace("_since", "Since").replace("_until", "Until")
        for field in dataclasses.fields(value)
    }
    assert set(shape(value)) == names | more


def test_states_are_plain_words():
    shown = serialise.server(SERVER)

    assert (shown["admin"], shown["health"], shown["source"]) == ("drain", "down", "config")
    assert not any(isinstance(value, Admin | Health | Source) for value in shown.values())
