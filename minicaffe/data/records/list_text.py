"""Search of lines that consist of a name, a space and a label in the text of a long list."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]

_MOST_DIGITS = 9  # such a label is below 2**31


class ListLines(NamedTuple):
    """The lines of a text.

    Parameters
    ----------
    begins, ends : ndarray, int64, shape (lines,)
        Where lines begin and end in the text.
    name_ends, labels : ndarray, int64, shape (lines,)
        Where the name of a plain line ends, and its label.
    are_plain : ndarray, bool, shape (lines,)
        Whether a line ends in a printable ASCII character, a space and at most nine digits.
    """

    begins: Places
    ends: Places
    name_ends: Places
    labels: Places
    are_plain: NDArray[np.bool_]


def find_lines(text: bytes) -> ListLines:
    r"""Return the lines of a text, which is UTF-8, with ``\n`` between lines."""
    content = np.frombuffer(text, np.uint8)
    breaks = np.flatnonzero(content == ord("\n"))
    begins, ends = np.append(0, breaks + 1), np.append(breaks, len(content))
    spaces = np.append(-1, np.flatnonzero(content == ord(" ")))
    name_ends = spaces[np.searchsorted(spaces, ends) - 1]
    n_digits = ends - name_ends - 1
    are_plain = (name_ends > begins) & (n_digits >= 1) & (n_digits <= _MOST_DIGITS)
    labels = np.zeros(len(begins), np.int64)
    for k in range(int(n_digits.max(initial=0, where=are_plain))):
        (longer,) = np.nonzero(are_plain & (n_digits > k))
        digits = content[name_ends[longer] + 1 + k].astype(np.int64) - ord("0")
        labels[longer] = 10 * labels[longer] + digits
        are_plain[longer[(digits < 0) | (digits > 9)]] = False
    (named,) = np.nonzero(are_plain)
    last = content[name_ends[named] - 1]
    are_plain[named[(last <= ord(" ")) | (last > ord("~"))]] = False
    return ListLines(begins, ends, name_ends, labels, are_plain)
