"""Finding: what one check of a server has found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lb.model import Check


@dataclass(frozen=True, slots=True)
class Finding(Check):
    """A check's outcome, with what it tells the health-checker alone."""

    where_to_look: str = ""  # the setting that made it fail, for the log
    addresses: Mapping[str, str] = field(
        default_factory=dict
    )  # of its name → why it failed, empty if it passed
    name_problem: str = ""  # why its name could not be looked up
    not_made: bool = False  # for want of a descriptor or the like, which is no fault of the server
