"""The routes of `minicaffe serve`."""
