#!/usr/bin/env python3
"""Run ``minicaffe upgrade_solver_proto_text`` under the name of Caffe's tool."""

from minicaffe.cli.start import start_command

raise SystemExit(start_command())
