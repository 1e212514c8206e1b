"""When nearly all requests are refused by the balancer itself, one line a minute says so, and why."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.errors import ClientError, NoEligibleServerError
from lb.proxy.refusals import FEWEST, WINDOW_SECONDS, Refusals
from tests.proxy.rig import GET, Balancer, answering, playing

Make = Callable[..., Balancer]


class Minutes:
    """Refusals on a clock that the test turns, with answers that it counts."""

    def __init__(self) -> None:
        self.now, self.answers = 0.0, 0
        self.refusals = Refusals(lambda: self.answers, lambda: self.now)

    def refuse(self, count: int, message: str = "malformed request line") -> None:
        for _ in range(count):
            self.answers += 1
            self.refusals.note(ClientError(message))

    def pass_(self, seconds: float = WINDOW_SECONDS) -> None:
        self.now += seconds
        self.refusals.look()


def test_the_line_says_how_many_and_why(caplog: pytest.LogCaptureFixture) -> None:
    minutes = Minutes()
    minutes.refuse(30, "malformed header field")
    minutes.refuse(10)
    assert caplog.messages == []
    minutes.pass_()
    [said] = caplog.messages
    assert said == (
        "the balancer itself refused nearly all requests: 40 in 60 s, "
        "most often (30) with 400: malformed header field"
    )


def test_it_is_said_once_for_each_minute_that_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    minutes = Minutes()
    for _ in range(3):
        minutes.refuse(50)
        minutes.pass_(WINDOW_SECONDS / 2)
        minutes.pass_(WINDOW_SECONDS / 2)
        minutes.pass_()  # in which nothing happens
    assert len(caplog.messages) == 3


@given(st.integers(0, 200), st.integers(0, 200))
def test_it_is_said_only_of_many_and_of_nearly_all(refused: int, served: int) -> None:
    minutes = Minutes()
    said: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("logging.Logger.warning", lambda *_: said.append(1))
        minutes.answers += served
        minutes.refuse(refused)
        minutes.pass_()
    assert bool(said) == (refused >= FEWEST and refused >= 0.9 * (refused + served))


def test_where_nobody_looks_the_next_refusal_does(caplog: pytest.LogCaptureFixture) -> None:
    minutes = Minutes()
    minutes.refuse(30)
    minutes.now += 90
    minutes.refuse(1)
    assert [said for said in caplog.messages if "30 in 90 s" in said]


def test_reasons_that_clients_make_up_take_no_memory() -> None:
    minutes = Minutes()
    for number in range(1000):
        minutes.refuse(1, f"reason {number}")
    assert len(minutes.refusals._reasons) < 100


def test_requests_that_are_refused_are_counted_whatever_refuses_them(
    balancer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with playing(answering()) as server:
        made = balancer(server)
        reasons = made.plane._refusals._reasons
        assert made.ask(GET).startswith(b"HTTP/1.1 200 ")
        assert not reasons
        assert made.ask(b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        made.pool.remove(server.id, "test")
        assert made.ask(GET).startswith(b"HTTP/1.1 503 ")
    assert dict(reasons) == {
        "400: malformed request line": 1,
        f"{NoEligibleServerError.status}: no server is available now": 1,
    }
