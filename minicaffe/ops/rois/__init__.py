"""Ops over regions of interest; see `minicaffe.layers.rois`."""
