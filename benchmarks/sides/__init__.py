"""What is measured: each module is the program of one or more sides, started by the harness as a process."""
