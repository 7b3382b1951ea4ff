"""Drawings: training curves, confusion matrices, grids of images, graphs of nets.

matplotlib (the extra ``plot``) draws curves and matrices, Pillow draws everything else.
"""
