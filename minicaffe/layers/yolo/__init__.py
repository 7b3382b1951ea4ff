"""Layers of YOLO v2 and v3, as MobileNet-YOLO and Intel's Caffe have them.

A map has, for each anchor and cell, the channels x, y, w, h, objectness and one a class. A truth is
a row [class, x, y, w, h]: its center and size as shares of the image; a row with x or w of 0 ends
the list of an image.
"""
