"""What changes in the course of a training: rates, weight decay and momentum."""
