"""How a command runs as a process: one of several ranks, and what ends it."""
