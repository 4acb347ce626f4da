"""The log of a session: written in order, bounded, read back, moved, and what is stored made to agree with memory."""
