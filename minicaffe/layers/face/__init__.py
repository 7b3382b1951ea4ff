"""Layers that learn to tell faces apart: margins, centres, distances."""
