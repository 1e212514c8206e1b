"""What operators ask of the pool, checked before the store is asked; and the words of a refusal. PURE."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from lb.errors import UnknownServerError, UsageError
from lb.model import MAX_WEIGHT, ServerId
from lb.strategies import STRATEGIES

_FEW = 10  # so many server ids still read well in one message


def checked_weight(weight: int) -> int:
    """Return the weight if a server can have it; UsageError if not."""
    if not 1 <= weight <= MAX_WEIGHT:
        raise UsageError(f"a weight is a whole number from 1 to {MAX_WEIGHT}, not {weight}")
    return weight


def checked_strategy(name: str) -> str:
    """Return the name if it is that of a strategy; UsageError if not."""
    if name not in STRATEGIES:
        raise UsageError(f'there is no strategy "{name}"; the strategies are {", ".join(STRATEGIES)}')
    return name


def not_in_pool(server: ServerId, members: Sequence[str]) -> UnknownServerError:
    """Return the error for a server that is not among the pool's members."""
    return UnknownServerError(f"{server} is not in the pool{_hint(server, members)}")


def not_removed(server: ServerId, removed: Sequence[str]) -> UnknownServerError:
    """Return the error for a server that is not among those that can be restored."""
    return UnknownServerError(f"{server} is not on the list of the removed{_hint(server, removed)}")


def _hint(server: str, present: Sequence[str]) -> str:
    """Say what there is: everything if it is little, else what is named alike."""
    if not present:
        return ", which is empty"
    if len(present) <= _FEW:
        return f"; it holds {', '.join(present)}"
    near = difflib.get_close_matches(server, present)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; none of its {len(present)} servers is named alike"
