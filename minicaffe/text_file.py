"""Text files: decoding of UTF-8, UTF-16 and code pages, line ends, and NUL bytes.

All readers of text (prototxt, lists, window files, class names, tables, logs, flag files) use
`read_text` or `decode_text`, so that they accept the same files: UTF-8 with or without a byte order
mark, UTF-16 and UTF-32 as Windows writes them, any line ends, and Ctrl-Z at the end.
"""

from __future__ import annotations

import codecs
import re
from enum import Enum
from pathlib import Path

from minicaffe.code_pages import code_page_hint
from minicaffe.errors import DataError, MinicaffeError
from minicaffe.path_hints import missing_file_hint, one_line

# In the order in which they are tried: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
_HEAD_BYTES = 256


class ForeignBytes(Enum):
    """What `read_text` does with bytes that are not UTF-8."""

    REFUSE = "raise an error that names likely code pages"
    ESCAPE = "surrogateescape, because file names on Linux may contain any bytes"
    REPLACE = "replace them, and remove NUL bytes: for logs, which are read as far as possible"


def read_text(
    path: str | Path,
    noun: str,
    foreign: ForeignBytes = ForeignBytes.REFUSE,
    rule: str = "",
    error: type[MinicaffeError] = DataError,
) -> str:
    r"""Return the text of a file, with lines that end in ``\n``.

    Parameters
    ----------
    path : str or Path
        The file.
    noun : str
        The file in messages, such as "the list".
    foreign : ForeignBytes
        What happens to bytes that are not UTF-8.
    rule : str
        What the file must contain; it is added to the message about a binary file.
    error : type of MinicaffeError
        What is raised.

    Raises
    ------
    MinicaffeError
        If the file cannot be read, contains NUL bytes, or has another encoding.
    """
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as reason:  # ValueError: a path that cannot be encoded
        text = getattr(reason, "strerror", None) or str(reason)
        hint = missing_file_hint(path)
        raise error(f"{one_line(path)}: {noun} cannot be read: {text}.{hint}") from reason
    text = decode_text(content, path, foreign, error)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise error(
            f"{path}: not a text file{rule and '; '}{rule}. Line {line} contains a NUL byte; if "
            "the file should be text, it is damaged."
        )
    return text


def decode_text(
    content: bytes,
    path: str | Path,
    foreign: ForeignBytes = ForeignBytes.REFUSE,
    error: type[MinicaffeError] = DataError,
) -> str:
    r"""Decode the content of a text file; NUL bytes are left in the text except with REPLACE.

    Byte order marks, also between joined files, and a Ctrl-Z at the end are removed. Lines that end
    in CR LF or CR end in ``\n`` afterwards.
    """
    encoding, mark = _encoding_of(content)
    if encoding == "utf-8":
        text = _decode_utf8(content.removeprefix(mark), path, foreign, error)
    else:
        try:
            text = content[len(mark) :].decode(encoding)
        except UnicodeDecodeError as reason:
            if foreign is not ForeignBytes.REPLACE:
                raise error(
                    f"{path}: {encoding.upper()} text that is damaged or cut off at byte "
                    f"{reason.start + len(mark)}. Save the file as UTF-8."
                ) from reason
            text = content[len(mark) :].decode(encoding, "replace")
    text = text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n")
    if text.rstrip().endswith("\x1a"):  # the end of a file in DOS and CP/M
        text = text.rstrip().rstrip("\x1a")
    return text.replace("\0", "") if foreign is ForeignBytes.REPLACE else text


def _encoding_of(content: bytes) -> tuple[str, bytes]:
    """Return the encoding of a text, and the byte order mark that the text begins with."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return encoding, mark
    head = content[: min(len(content), _HEAD_BYTES) // 2 * 2]
    # UTF-16 without a mark: ASCII with a NUL at every other byte.
    for encoding, letters, zeros in (
        ("utf-16-le", head[::2], head[1::2]),
        ("utf-16-be", head[1::2], head[::2]),
    ):
        if head and not any(zeros) and re.fullmatch(rb"[\t\n\r -~]+", letters):
            return encoding, b""
    return "utf-8", b""


def _decode_utf8(
    content: bytes, path: str | Path, foreign: ForeignBytes, error: type[MinicaffeError]
) -> str:
    errors = {ForeignBytes.ESCAPE: "surrogateescape", ForeignBytes.REPLACE: "replace"}
    try:
        return content.decode("utf-8", errors.get(foreign, "strict"))
    except UnicodeDecodeError as reason:
        before = content[: reason.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        line = before.count(b"\n") + 1
        begin = len(content[: reason.start]) - len(before.rpartition(b"\n")[2])
        sample = re.split(rb"[\r\n]", content[begin:], maxsplit=1)[0]
        raise error(
            f"{path}: not UTF-8 text; save it in that encoding. Line {line}{code_page_hint(sample)}"
        ) from reason
