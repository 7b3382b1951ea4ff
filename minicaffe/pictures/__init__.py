"""Everything that minicaffe draws: curves, confusion matrices, grids of pictures, nets.

Curves and matrices are drawn by matplotlib (the extra ``plot``), the rest by Pillow.
"""
