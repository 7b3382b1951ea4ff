#!/usr/bin/env python3
"""Run ``minicaffe convert_imageset`` under the name of Caffe's tool."""

from minicaffe.cli.start import start_command

raise SystemExit(start_command())
