"""Layers of MS-CNN and Cascade R-CNN: detectors in several maps of a net.

A map has the logits of classes, background first, then x, y, w, h of a box. Offsets are relative to
a field of field_w x field_h pixels around the center of a cell of downsample_rate pixels. A label
map has the class, center and size of the true box in pixels, and the IoU of field and box.
"""
