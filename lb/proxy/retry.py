"""When a request may go to another server. PURE.

Nothing was sent: any request may. Something was sent: only one whose method is idempotent, so that doing it
twice means the same as doing it once, and whose body can still be sent again in full.
"""

from __future__ import annotations

#: RFC 9110 §9.2.2. Methods unknown to us are not idempotent.
IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})


def may_retry(method: bytes, *, sent: bool, body_kept: bool) -> bool:
    """Whether a request whose attempt failed may be tried again."""
    if not body_kept:
        return False
    return not sent or method in IDEMPOTENT
