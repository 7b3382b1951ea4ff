"""The page of trainings: `minicaffe board`. It reads run folders; a training never waits for it."""
