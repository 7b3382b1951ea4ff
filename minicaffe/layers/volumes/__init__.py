"""Layers for volumes and clips of video, (N, C, frames, rows, columns): those of C3D."""
