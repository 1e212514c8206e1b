from __future__ import annotations

import hashlib
from io import BytesIO

from lb.processes.demo_servers import application


def ask(body: bytes = b"") -> tuple[str, dict[str, str], str]:
    said: list[tuple[str, list[tuple[str, str]]]] = []
    answer = application("localhost:5001")
    [text] = answer({"wsgi.input": BytesIO(body)}, lambda status, headers: said.append((status, headers)))
    [(status, headers)] = said
    return status, dict(headers), text.decode()


def test_it_answers_with_its_own_name() -> None:
    status, headers, text = ask()
    assert status == "200 OK"
    assert text == "server localhost:5001\n"
    assert headers["Content-Length"] == str(len(text))


def test_it_tells_what_became_of_a_body() -> None:
    body = b"x" * 100_000
    digest = hashlib.sha256(body).hexdigest()
    assert ask(body)[2] == f"server localhost:5001\nreceived 100000 bytes, sha256 {digest}\n"
