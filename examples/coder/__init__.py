"""A coder writes a small module, a tester runs its tests in a child process within limits; wrong code is mended."""

from .team import TEAM, make_team

__all__ = ["TEAM", "make_team"]
