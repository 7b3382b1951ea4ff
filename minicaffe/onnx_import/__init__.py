"""Import of ONNX files: the net as prototxt and its weights."""
