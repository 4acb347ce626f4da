"""Proofs about a lifecycle file, before anything of it runs; prove.py is the way in."""
