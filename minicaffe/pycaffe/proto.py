"""Caffe's message classes under their pycaffe name, ``caffe.proto.caffe_pb2``."""

from minicaffe.schema import minicaffe_pb2 as caffe_pb2

__all__ = ["caffe_pb2"]
