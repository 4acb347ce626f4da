"""A chess match: an arbiter, one or two engines that really search, a scribe, and a person if one wants a side."""

from .team import TEAM

__all__ = ["TEAM"]
