"""The `http` check: each address of a server is asked once, on a new connection, and judged by the status."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from http.client import responses

from urllib3.util import parse_url

from lb.config import ALIVE, HealthCheck, format_duration
from lb.health.checks.request import Answer, Request, ask
from lb.health.finding import Finding
from lb.health.names import Names, Place, is_gone, is_literal
from lb.health.words import words
from lb.model import Server, ServerId, address_name

#: What a server answers that does not know HEAD.
_NO_HEAD = frozenset({405, 501})


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a server is."""

    host: str
    port: int
    places: list[Place]
    has_name: bool = False  # the places are those of a name
    problem: str = ""  # why they are only the last known ones


class HttpCheck:
    """Checks servers over HTTP, and remembers which addresses have to be asked with GET."""

    def __init__(self) -> None:
        self._names = Names()
        self._by_get: dict[ServerId, set[Place]] = {}

    def __call__(self, server: Server, settings: HealthCheck) -> Finding:
        """Check the server once: its name is looked up, and it answers, within `settings.timeout_seconds`.

        It passes if one of its addresses does. Never raises: whatever goes wrong is the outcome.
        """
        started = time.monotonic()
        until = started + settings.timeout_seconds
        try:
            target = self._find(server, until, settings.timeout_seconds)
        except OSError as error:
            problem = words(error, settings.timeout_seconds)
            advice = _where_to_look(None, server, settings)
            return Finding(False, False, problem, time.monotonic() - started, advice, name_problem=problem)
        self._by_get.setdefault(server.id, set()).intersection_update(target.places)
        request = Request(target.host, target.port, settings.method, settings.path, settings.timeout_seconds)
        asks = [partial(self._ask, server, place, request, settings, until) for place in target.places]
        answers = dict(zip(target.places, _at_once(asks), strict=True))
        answer = max(answers.values(), key=lambda answer: _rank(answer, settings))
        problems = _problems(answers, settings) if target.has_name else {}
        return Finding(
            _passes(answer, settings),
            answer.status is not None,
            _detail(answer, settings) + _reservations(answer, settings, problems, target.problem),
            answer.at - started,
            _where_to_look(answer, server, settings),
            problems,
            target.problem,
            not_made=not _passes(answer, settings) and any(answer.ours for answer in answers.values()),
        )

    def _find(self, server: Server, until: float, timeout_seconds: float) -> _Target:
        """Return where a server is: while no name server answers, at its last addresses, as workers do."""
        if server.url.startswith("unix:"):
            return _Target("localhost", 80, [(socket.AF_UNIX, server.url.removeprefix("unix:"))])
        url = parse_url(server.url)
        host, port = (url.host or "").strip("[]"), url.port or 80
        known = self._names.last_known(host, port)
        left = until - time.monotonic()
        try:
            places = self._names.places(host, port, left / 2 if known else left)
        except OSError as error:
            if not known or is_gone(error):
                raise
            return _Target(host, port, known, has_name=True, problem=words(error, timeout_seconds / 2))
        return _Target(host, port, places, has_name=not is_literal(host))

    def _ask(
        self, server: Server, place: Place, request: Request, settings: HealthCheck, until: float
    ) -> Answer:
        """Ask one address. A HEAD that does not pass is asked again with GET, whose status is enough."""
        by_get = self._by_get[server.id]
        if settings.method == "GET":
            return ask(place, replace(request, with_body=True), until)
        get = replace(request, method="GET")
        if place in by_get:
            answer = ask(place, get, until)
            if answer.status is None:
                by_get.discard(place)  # the next check tries HEAD
            return answer
        answer = ask(place, request, until)
        if answer.refused or (_passes(answer, settings) and not _is_no_head(answer, settings)):
            return answer
        if answer.late:
            by_get.add(place)  # there are servers that never answer HEAD
            return answer
        again = ask(place, get, until)
        no_head = answer.status in _NO_HEAD
        if no_head or _passes(again, settings):
            by_get.add(place)
        return again if no_head or again.status is not None or answer.status is None else answer


def _at_once(asks: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Make all of these calls at the same time, so that none takes time from another."""
    if len(asks) == 1:
        return [asks[0]()]
    with ThreadPoolExecutor(len(asks)) as executor:  # of greenlets where gevent has patched
        return list(executor.map(lambda call: call(), asks))


def _passes(answer: Answer, settings: HealthCheck) -> bool:
    return answer.status is not None and settings.expects(answer.status) and not answer.problem


def _is_no_head(answer: Answer, settings: HealthCheck) -> bool:
    """Whether it says no more than that HEAD is not known here, and nobody has asked for just that."""
    return answer.status in _NO_HEAD and settings.expect == ALIVE


def _rank(answer: Answer, settings: HealthCheck) -> tuple[bool, bool, bool]:
    return _passes(answer, settings), answer.status is not None, not answer.refused


def _problems(answers: Mapping[Place, Answer], settings: HealthCheck) -> dict[str, str]:
    """Say of each address why it failed. Left away are those that take no connection: nobody uses them."""
    return {
        address_name(*place[1][:2]): "" if _passes(answer, settings) else _detail(answer, settings)
        for place, answer in answers.items()
        if not answer.refused
    }


def _reservations(
    answer: Answer, settings: HealthCheck, problems: Mapping[str, str], name_problem: str
) -> str:
    """Say what is wrong with a server that passes."""
    failing = [f"{address}: {problem}" for address, problem in problems.items() if problem]
    if name_problem:
        failing.insert(0, f"its name cannot be looked up: {name_problem}")
    if not failing or not _passes(answer, settings):
        return ""
    return f", but {failing[0]}" + (f", and {len(failing) - 1} more" if failing[1:] else "")


def _detail(answer: Answer, settings: HealthCheck) -> str:
    if answer.status is None:
        return answer.problem
    if not settings.expects(answer.status):
        return f"status {answer.status} (expected {settings.expected})"
    if answer.problem:
        return f"status {answer.status}, then {answer.problem}"
    return f"{answer.status} {responses.get(answer.status, '')}".rstrip()


def _where_to_look(answer: Answer | None, server: Server, settings: HealthCheck) -> str:
    """Name the setting that may be wrong if the check fails."""
    if answer is not None and answer.late:
        return f"healthCheck.timeout ({format_duration(settings.timeout_seconds)})"
    if answer is not None and answer.status is not None:
        return f"healthCheck.path ({settings.path}) and healthCheck.expect ({settings.expected})"
    return f"its URL in `servers` ({server.url})"
