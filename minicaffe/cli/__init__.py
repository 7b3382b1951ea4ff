"""Command line: the program, its flags, and one module for each command."""
