"""Fuzzing: files changed at random must be read, or refused with a message.

``scripts/fuzz --help`` describes the command. An input is a function of target, seed and number
only, so that ``scripts/fuzz --target NAME --one NUMBER`` makes it again and runs it with its
messages. An input whose reading crashes, shows a traceback, hangs or takes too much memory is a
finding; `past` keeps the files of earlier ones, which test_fuzzing.py reads again.
"""
