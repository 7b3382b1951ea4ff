"""Models that answer requests: versions, batches, formats."""
