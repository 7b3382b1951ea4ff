"""Evaluation of nets and trainings: sizes of layers, confusion counts, training logs."""
