"""Import of torchvision's weights: the nets as prototxt, and files of state dicts without torch."""
