"""The inside of a run for the page: its net, weights, tests, images to try, and data."""
