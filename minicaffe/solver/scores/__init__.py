"""Scores of tests while training: computation, reports, and the score that selects models."""
