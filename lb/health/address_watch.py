"""AddressWatch: which addresses of one server are to be left out. PURE."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lb.health.rise_fall import observe
from lb.model import Health


class AddressWatch:
    """Follows the checks of each address: as many decide as of a server, and one at least stays in use."""

    def __init__(self, left_out: Collection[str]) -> None:
        """`left_out` are those that are left out so far."""
        self._states = dict.fromkeys(left_out, (Health.DOWN, 0))

    def observe(self, problems: Mapping[str, str], rise: int, fall: int) -> list[str]:
        """Return the addresses to leave out after one more check.

        `problems` says of each address that the server has now why it failed, or nothing if it passed.
        """
        self._states = {
            address: observe(*self._states.get(address, (Health.UP, 0)), not problem, rise, fall)
            for address, problem in problems.items()
        }
        down = sorted(address for address, (health, _) in self._states.items() if health is Health.DOWN)
        return down if len(down) < len(self._states) else []
