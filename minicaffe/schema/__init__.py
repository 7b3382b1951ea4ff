"""Caffe's file formats: message classes, prototxt, weights files and the upgrade of old forms."""
