"""Routes that only read: the whole balancer, its workers, its events, and the API's own health."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from lb.api import serialise
from lb.api.bodies import EventsQuery, read_query
from lb.api.conditional import versioned
from lb.api.context import context, pool
from lb.api.overview import look
from lb.errors import StoreError

routes = Blueprint("state", __name__)


@routes.get("/status")
@versioned
def status() -> Response:
    """Answer the state of the balancer in a few figures."""
    app = context()
    overview = serialise.overview(look(app.pool, app.fleet))
    return jsonify({**overview, "rates": serialise.rates(app.counted.rates())})


@routes.get("/workers")
def workers() -> Response:
    """Answer the workers of the fleet, as their heartbeats describe them."""
    return jsonify([serialise.worker(worker) for worker in context().fleet.workers()])


@routes.get("/events")
def events() -> Response:
    """Answer the newest events, or those after a given one, in the order in which they happened."""
    query = read_query(request, EventsQuery)
    return jsonify([serialise.event(event) for event in pool().events(query.count, query.after)])


@routes.get("/health")
def health() -> tuple[Response, int]:
    """Answer 200 if the API can work, else 503. Anyone may ask, so it does not tell the store's address."""
    try:
        pool().ping()
    except StoreError:
        return jsonify(healthy=False, store={"reachable": False}), 503
    return jsonify(healthy=True, store={"reachable": True}), 200
