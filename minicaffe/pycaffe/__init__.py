"""The pycaffe-compatible face; ``import caffe`` resolves to it."""
