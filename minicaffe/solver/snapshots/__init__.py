"""Snapshots of a training: their files, their prefix, and what happens when one fails."""
