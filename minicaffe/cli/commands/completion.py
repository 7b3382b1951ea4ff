"""Print what lets a shell complete commands, flags and their values.

bash: add the following line to ~/.bashrc, zsh: to ~/.zshrc, and open a new terminal.

  eval "$(minicaffe completion bash)"

fish: run it once.

  minicaffe completion fish > ~/.config/fish/completions/minicaffe.fish

Example:
  minicaffe completion zsh
"""

from __future__ import annotations

from minicaffe.cli.flags import Flags, positional

_PROGRAMS = ["minicaffe", "caffe"]


class CompletionFlags(Flags):
    """Flags of the command."""

    shell: str = positional(choices=("bash", "zsh", "fish"), help="the shell")


def run(flags: CompletionFlags) -> int:
    """Run the command."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(_PROGRAMS, shell=flags.shell))
    return 0
