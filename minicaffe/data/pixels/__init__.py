"""Loops over the pixels of images: resizing, order of colours, transformation; in C or NumPy."""
