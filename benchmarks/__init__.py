"""How fast it is, beside its references: `make bench` measures both in the same run, in turns."""
