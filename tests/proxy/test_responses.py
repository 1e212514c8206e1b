"""The balancer's own responses."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import h11
import pytest

from lb.proxy.responses import own_response


@pytest.mark.parametrize(("status", "phrase"), [(413, b"Content Too Large"), (414, b"URI Too Long")])
def test_phrases_are_those_of_rfc_9110(status: int, phrase: bytes) -> None:
    assert own_response(status, "").startswith(b"HTTP/1.1 %d %b\r\n" % (status, phrase))


@pytest.mark.parametrize("status", [400, 408, 413, 414, 431, 500, 501, 502, 503, 504, 505])
@pytest.mark.parametrize("head", [True, False])
def test_an_own_response_is_whole_and_ends_the_connection(status: int, head: bool) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="HEAD" if head else "GET", target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(own_response(status, "na\u00efve reason", head=head, retry_after_seconds=7))
    response = client.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code == status
    assert dict(response.headers)[b"retry-after"] == b"7"
    assert dict(response.headers)[b"connection"] == b"close"
    assert parsedate_to_datetime(dict(response.headers)[b"date"].decode()) >= before
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert body.startswith(b"" if head else b"%d " % status)
    assert client.their_state is h11.MUST_CLOSE
