"""Ops of MS-CNN; see `minicaffe.layers.mscnn`."""
