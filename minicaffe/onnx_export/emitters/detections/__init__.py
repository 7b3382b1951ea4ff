"""Layers that select boxes, and layers over the regions that they are."""
