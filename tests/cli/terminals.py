"""Commands on a terminal of their own."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios


def on_terminal(argv, columns):
    """Run the command line on a terminal of its own; return what it shows and the exit code."""
    code = "import sys; from minicaffe.cli.main import main; sys.exit(main())"
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", code, *argv], stderr=child, env={**os.environ, "TERM": "xterm"}
    )
    os.close(child)
    shown = b""
    while True:
        try:
            shown += os.read(parent, 65536)
        except OSError:  # the other end was closed
            break
    os.close(parent)
    return shown.decode(), process.wait()


def lines_of(shown):
    """Return the lines that stay on a terminal, without those that were overwritten."""
    plain = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown).replace("\r\n", "\n")
    return [line.split("\r")[-1].rstrip() for line in plain.split("\n")]
