"""The routes of the strategy."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from lb.api.bodies import StrategyChoice, read_body
from lb.api.conditional import pool_as_seen, versioned
from lb.api.context import pool, who
from lb.strategies import STRATEGIES

routes = Blueprint("strategy", __name__)


@routes.get("/strategy")
@versioned
def get_strategy() -> Response:
    """Answer the strategy in use and all those that can be chosen."""
    return jsonify(strategy=pool().snapshot().strategy, known=list(STRATEGIES))


@routes.put("/strategy")
def set_strategy() -> Response:
    """Change the strategy; every later pick follows it."""
    pool_as_seen().set_strategy(read_body(request, StrategyChoice).strategy, who())
    return get_strategy()
