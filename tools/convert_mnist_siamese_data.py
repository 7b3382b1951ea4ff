#!/usr/bin/env python3
"""Run ``minicaffe convert_mnist_siamese_data`` under the name of Caffe's tool."""

from minicaffe.cli.start import start_command

raise SystemExit(start_command())
