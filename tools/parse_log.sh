#!/usr/bin/env bash
# Write LOG.train and LOG.test as aligned columns into the current folder, as Caffe's parse_log.sh.
exec "$(dirname "$0")/parse_log.py" --table "$1" .
