"""Run folders: what each training was, how it went, and the weights that it kept.

runs/lenet-1/
  run.json            command, overrides, versions, seed, machine, state, score (`RunRecord`)
  log.txt             Caffe's log, as on a pipe
  metrics.jsonl       one line for each display and each test (`minicaffe.runs.metrics`)
  solver.prototxt, train.prototxt, test-0.prototxt    as used
  best.caffemodel, last.caffemodel                    weights that were kept
"""

from minicaffe.runs.folder import log_of, weights_of

__all__ = ["log_of", "weights_of"]
