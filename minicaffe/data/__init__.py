"""Databases, pictures and what turns them into batches."""
