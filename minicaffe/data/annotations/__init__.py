"""Annotated images: files with boxes, names of classes, and the records of SSD's databases."""
