"""Commands on a terminal of their own."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

CODE = "import sys; from minicaffe.cli.main import main; sys.exit(main())"


class Terminal:
    """A terminal of its own.

    Parameters
    ----------
    columns : int
    """

    def __init__(self, columns=100):
        self.fd, self.child = pty.openpty()
        fcntl.ioctl(self.child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def start(self, argv, environment=(), program=False, **options):
        """Start the command line, or Python with `program`; stderr is the terminal."""
        options = {"stdin": self.child, "stderr": self.child, **options}
        environment = {**os.environ, "TERM": "xterm", **dict(environment)}
        words = argv if program else ["-c", CODE, *argv]
        return subprocess.Popen([sys.executable, *words], env=environment, **options)

    def start_typed(self, argv, **options):
        """Start the command line as a shell does: the process leads the foreground group."""
        child = self.child

        def take_terminal():
            fcntl.ioctl(child, termios.TIOCSCTTY, 0)

        return self.start(argv, start_new_session=True, preexec_fn=take_terminal, **options)

    def hang_up(self):
        """Close the terminal, as its window does."""
        os.close(self.child)
        os.close(self.fd)

    def shown(self):
        """Return everything that is shown until all programs have closed the terminal."""
        os.close(self.child)
        found = b""
        while True:
            try:
                found += os.read(self.fd, 65536)
            except OSError:  # the other end was closed
                break
        os.close(self.fd)
        return found.decode()


def on_terminal(argv, columns, environment=()):
    """Run the command line on a terminal of its own; return what it shows and the exit code."""
    terminal = Terminal(columns)
    process = terminal.start(argv, environment)
    shown = terminal.shown()
    return shown, process.wait()


def lines_of(shown):
    """Return the lines that stay on a terminal, without those that were overwritten."""
    plain = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown).replace("\r\n", "\n")
    return [line.split("\r")[-1].rstrip() for line in plain.split("\n")]
