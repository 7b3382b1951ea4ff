"""Text for people: durations, colours on terminals."""
