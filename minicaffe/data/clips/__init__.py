"""Batches of clips of video: frames are an axis of their own."""
