#!/usr/bin/env python3
"""Run ``minicaffe extract_features`` under the name of Caffe's tool."""

from minicaffe.cli.main import run_as_program

raise SystemExit(run_as_program())
