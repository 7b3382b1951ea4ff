"""Segmentation: SegNet, DeepLab and PSPNet."""
