"""The retry rule's whole table."""

from __future__ import annotations

import pytest

from lb.proxy.retry import may_retry


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"])
@pytest.mark.parametrize(("sent", "body_kept", "expected"), [
    (False, True, True),
    (True, True, True),
    (False, False, False),
    (True, False, False),
])  # fmt: skip
def test_an_idempotent_request_may_go_again_while_its_body_is_whole(
    method: bytes, sent: bool, body_kept: bool, expected: bool
) -> None:
    assert may_retry(method, sent=sent, body_kept=body_kept) is expected


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"CONNECT", b"get", b"PURGE"])
@pytest.mark.parametrize(("sent", "body_kept", "expected"), [
    (False, True, True),
    (True, True, False),
    (False, False, False),
    (True, False, False),
])  # fmt: skip
def test_any_other_request_may_go_again_only_while_nothing_was_sent(
    method: bytes, sent: bool, body_kept: bool, expected: bool
) -> None:
    assert may_retry(method, sent=sent, body_kept=body_kept) is expected
