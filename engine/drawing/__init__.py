"""A lifecycle file drawn: one picture of each machine, in DOT and Mermaid, and what Graphviz makes of it."""
