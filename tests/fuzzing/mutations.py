"""Random changes of bytes and of texts, as functions of a source of random numbers."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

# Numbers at the limits of the types in binary files, and beside them.
LIMITS = [
    0,
    1,
    127,
    128,
    255,
    *(2**k + d for k in (15, 16, 31, 32, 63) for d in (-1, 0)),
    2**64 - 1,
]
_SMALL = "0 -1 1 2 5 17 250 0.3 -0.7 1e38 -1e38 1e39 1e-46 1e999 nan inf -inf 0x10 010 1.5.2 -- +3"
_LARGE = (
    "2147483647 2147483648 -2147483649 4294967295 4294967296 9223372036854775807 "
    "18446744073709551616"
)
NUMBERS = f"{_SMALL} {_LARGE}".split()
_NAMES = 'true false TRAIN TEST MAX AVE SUM STOCHASTIC LMDB "" "x" "y" "no/such/file" "." "%s"'
_MARKS = '"a b"|{|}|{}|:|[|]|<|>|#|\'|"|;|,|"\\000"|"\\377"|"é"|"한글"|\u2028|\udcff|\x00'
WORDS = [*_NAMES.split(), *_MARKS.split("|"), f'"{"long" * 500}"']
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|[\w.+-]+|\s+|.', re.DOTALL)
_NUMBER = re.compile(r"[-+]?\d[\d.]*(e[-+]?\d+)?")


def change_bytes(data: bytes, rng: random.Random) -> bytes:
    """Return bytes changed in one to four places, often near the beginning, where headers are."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        near = rng.random() < 0.4
        at = rng.randrange(min(len(changed), 64 if near else len(changed)) or 1)
        _change_place(changed, at, rng)
    return bytes(changed)


def _change_place(data: bytearray, at: int, rng: random.Random) -> None:
    kind, size = rng.randrange(7), rng.choice([1, 2, 4, 8])
    if kind == 0 and data:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at : at + size] = rng.randbytes(size)
    elif kind == 2:
        number = rng.choice(LIMITS) % (1 << 8 * size)
        data[at : at + size] = number.to_bytes(size, rng.choice(["little", "big"]))
    elif kind == 3:
        del data[at : at + size]
    elif kind == 4:
        data[at:at] = rng.randbytes(size)
    elif kind == 5:
        del data[at:]
    else:
        start = rng.randrange(len(data) or 1)
        data[at:at] = data[start : start + 8 * size]


def change_text(text: str, rng: random.Random, others: Sequence[str] = ()) -> bytes:
    """Return a prototxt with other numbers, words and blocks in one to three places.

    Parameters
    ----------
    text : str
    rng : random.Random
    others : sequence of str
        Texts from which blocks may come.
    """
    tokens = _TOKEN.findall(text)
    for _ in range(rng.choice([1, 1, 2, 3])):
        _change_token(tokens, rng, others)
    return "".join(tokens).encode(errors="surrogatepass")


def _change_token(tokens: list[str], rng: random.Random, others: Sequence[str]) -> None:
    at, kind = rng.randrange(len(tokens) or 1), rng.randrange(8)
    numbers = [i for i, token in enumerate(tokens) if _NUMBER.fullmatch(token)]
    if kind < 3 and numbers:
        tokens[rng.choice(numbers)] = rng.choice(NUMBERS)
    elif kind == 3:
        tokens[at : at + 1] = [rng.choice(WORDS)]
    elif kind == 4:
        del tokens[at : at + rng.choice([1, 2, 6])]
    elif kind == 5:
        tokens[at:at] = tokens[(start := rng.randrange(len(tokens) or 1)) : start + 10]
    elif kind == 6 and others:
        block = _TOKEN.findall(rng.choice(others))
        start = rng.randrange(len(block))
        tokens[at:at] = block[start : start + rng.choice([4, 12, 40])]
    else:
        tokens[at:at] = [rng.choice(WORDS), " "]


def change_list(text: str, rng: random.Random, words: Sequence[str]) -> bytes:
    """Return a text of lines and words with one to three other words, or with other bytes."""
    if rng.random() < 0.3:
        return change_bytes(text.encode(), rng)
    tokens = _TOKEN.findall(text)
    for _ in range(rng.choice([1, 2, 3])):
        tokens[rng.randrange(len(tokens))] = rng.choice(words)
    return "".join(tokens).encode(errors="surrogatepass")
