"""Layers of YOLO v2 and v3, as MobileNet-YOLO and Intel's Caffe have them.

A map has, for each anchor and cell, the channels x, y, w, h, objectness and one a class. The
forms of the true boxes: see `minicaffe.ops.yolo.region_loss`.
"""
