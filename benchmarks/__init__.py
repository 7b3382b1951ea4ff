"""Measurements of speed, with a peer where there is one."""
