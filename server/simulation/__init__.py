"""The server in a simulation: real connections over lines that can be cut, people who judge it, and the campaign."""
