"""Layers over regions of interest, for R-CNN and its successors.

A region is a row [image, x1, y1, x2, y2]: the index of its image in the batch, and its corners in
pixels of the net's input, of which the last row and column count as inside.
"""
