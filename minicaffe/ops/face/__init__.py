"""Contracts of ops that learn to tell faces apart: margins, centres and distances."""
