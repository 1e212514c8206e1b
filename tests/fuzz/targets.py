"""What can be fuzzed: a name, the function that must raise nothing for any bytes, and bytes to start from."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz import chunks, connections, heads

#: Chooses how the input is cut; see the functions that read it.
_CUT = b"\0\0"

TARGETS: dict[str, tuple[Callable[[bytes], None], tuple[bytes, ...]]] = {
    "request-head": (heads.request_head, heads.REQUESTS),
    "response-head": (heads.response_head, heads.RESPONSES),
    "chunked-body": (chunks.chunked_body, tuple(_CUT + seed for seed in chunks.SEEDS)),
    "connection": (connections.whole_connection, tuple(_CUT + seed for seed in connections.SEEDS)),
}
