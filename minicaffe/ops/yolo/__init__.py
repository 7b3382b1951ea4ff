"""Ops of YOLO; see `minicaffe.layers.yolo`."""
