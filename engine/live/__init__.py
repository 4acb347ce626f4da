"""The sessions of a process: who may come in, who is in memory or asleep, and how each comes back."""
