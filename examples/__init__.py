"""Teams to start from. Each module exposes TEAM; the configuration names the modules to load."""
