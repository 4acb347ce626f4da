"""A whole system in virtual time, under disasters drawn from a seed: loop, faults, store, what is checked, stories.

The half that knows connections, and the command, are in server/simulation.
"""
