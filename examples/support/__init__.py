"""A support desk: triage, sales and refunds hand a customer on to each other; a person approves every refund.

It talks through any endpoint that speaks OpenAI's wire (see endpoint.py), or through a script that says that it is one.
"""

from .team import TEAM, make_team

__all__ = ["TEAM", "make_team"]
