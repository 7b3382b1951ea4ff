"""Reading the log of the command line in tests."""

import re

PREFIX = re.compile(r"([IWEF])\d{4} [\d:]{8}\.\d{6} +\d+ [\w.]+:\d+\] ")


def until(process, pattern):
    """Read the process's log up to a line that the pattern is found in; return the lines."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if re.search(pattern, line):
            return lines
    raise AssertionError(f"no {pattern!r} in:\n{''.join(lines)}")
