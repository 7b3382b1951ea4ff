"""``python -m minicaffe`` runs the command ``minicaffe``."""

import sys

from minicaffe.cli.start import start_program

if __name__ == "__main__":
    sys.exit(start_program())
