#!/usr/bin/env python3
"""Run ``minicaffe compute_image_mean`` under the name of Caffe's tool."""

from minicaffe.cli.main import run_as_program

raise SystemExit(run_as_program())
