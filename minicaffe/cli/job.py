"""The process of a job of the board: runs a command, and writes its exit code to the status file.

    python -P -m minicaffe.cli.job HANDLE COMMAND [FLAGS]

HANDLE is the status file, which the board has opened and locked (`minicaffe.web.jobs.status`).
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import replace

from minicaffe.cli.start import start_program
from minicaffe.runs.process import ProcessIdentity
from minicaffe.web.jobs.job import now_text
from minicaffe.web.jobs.status import JobStatus, status_of


def run_job() -> int:
    """Run the words of the command line; return the exit code."""
    handle = int(sys.argv.pop(1))
    os.set_inheritable(handle, False)
    status = replace(
        status_of(handle) or JobStatus(tuple(sys.argv[1:])),
        process=ProcessIdentity.of(os.getpid()),
        has_begun=True,
    )
    code = 1  # of an exception of the user's code, which Python shows
    try:
        status.write_into(handle)
        code = start_program()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        raise
    finally:
        with suppress(OSError):
            replace(status, exit_code=code, ended=now_text()).write_into(handle)
    return code


if __name__ == "__main__":
    sys.exit(run_job())
