"""Layers for sequences of labels: OCR nets of crnn.caffe and caffe_ocr."""
