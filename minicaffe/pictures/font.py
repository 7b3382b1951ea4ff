"""Fonts of drawings: Pillow's own, or an installed one for Korean, Chinese and Japanese.

Pillow's font gives the same drawing on every system. It has no Hangul, Kana or Han characters, so
that a text with them is drawn in the first installed font that has all of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from PIL import ImageFont

from minicaffe.log import logger
from minicaffe.text_width import display_width

PillowFont = ImageFont.FreeTypeFont | ImageFont.ImageFont

_NO_CHARACTER = "\uffff"
_PROBE_PX = 16
# File names without extension, in the order of preference; all languages, then one each.
_ALL_LANGUAGES = ("NotoSansCJK*", "NotoSansMonoCJK*", "SourceHanSans*", "Arial Unicode*")
_FILES: dict[str, tuple[str, ...]] = {
    "ko": (
        *("NotoSansKR*", "NanumGothic", "NanumBarunGothic", "Nanum*", "malgun", "AppleSDGothicNeo"),
        *("AppleGothic", "UnDotum", "gulim"),
    ),
    "ja": (
        *("NotoSansJP*", "ipag*", "TakaoGothic", "VL-Gothic*", "YuGoth*", "meiryo", "msgothic"),
        *("Hiragino*", "ヒラギノ角ゴシック W3"),
    ),
    "zh": (
        *(
            "NotoSansSC*",
            "NotoSansTC*",
            "wqy-*",
            "DroidSansFallback*",
            "msyh",
            "simhei",
            "PingFang",
        ),
        *("STHeiti*", "Hiragino Sans GB"),
    ),
}
_FILES["other"] = ("DejaVuSans", "LiberationSans-Regular", "Arial", "Helvetica")
_EXTENSIONS = (".ttf", ".otf", ".ttc")


def font(size_px: int, text: str = "") -> PillowFont:
    """Return the font that a text is drawn with, in a size; warn if it lacks characters."""
    path = font_file(text)
    found = _pillow_font(size_px) if path is None else _installed_font(path, size_px)
    if lacking := lacking_characters(path, text):
        warn_of_missing_font(lacking)
    return found


def text_length(text: str, size_px: int) -> float:
    """Return the width of a text in pixels; a wide character that no font has is a square."""
    path = font_file(text)
    lacking = lacking_characters(path, text)
    plain = "".join(c for c in text if c not in lacking)
    found = _pillow_font(size_px) if path is None else _installed_font(path, size_px)
    columns = display_width(text) - display_width(plain)
    return found.getlength(plain) + columns * size_px / 2


@cache
def _pillow_font(size_px: int) -> PillowFont:
    return ImageFont.load_default(size_px)  # cached, because Pillow unpacks it on every call


@cache
def _installed_font(path: str, size_px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size_px)


@cache
def font_file(text: str) -> str | None:
    """Return the path of the installed font that has most characters of a text.

    None stands for Pillow's font, which is taken if it has as many.
    """
    if text.isascii():
        return None
    best, fewest = None, len(lacking_characters(None, text))
    for path in _candidates(_language(text)) if fewest else ():
        count = len(lacking_characters(path, text))
        if count < fewest:
            best, fewest = path, count
        if not fewest:
            break
    return best


def lacking_characters(path: str | None, text: str) -> str:
    """Return the characters of a text that a font lacks; None is Pillow's font."""
    if text.isascii():
        return ""
    return "".join(c for c in dict.fromkeys(text) if not c.isascii() and not _has(path, c))


def warn_of_missing_font(text: str) -> None:
    """Warn, once in a process, that characters are drawn as boxes."""
    if _warned:
        return
    _warned.append(text)
    logger.warning(
        f'No installed font has all characters of "{text}"; they are drawn as boxes. Install one '
        "for Korean, Chinese and Japanese: apt install fonts-noto-cjk (Debian, Ubuntu), or put "
        "NotoSansCJK-Regular.ttc into ~/.local/share/fonts."
    )


_warned: list[str] = []


def _language(text: str) -> str:
    if any("\uac00" <= c <= "\ud7a3" or "\u1100" <= c <= "\u11ff" for c in text):
        return "ko"
    if any("\u3040" <= c <= "\u30ff" for c in text):
        return "ja"
    return "zh" if any(c >= "\u2e80" for c in text) else "other"


@cache
def _candidates(language: str) -> tuple[str, ...]:
    """Return the installed fonts that may have the characters of a language, preferred first."""
    files = list(_font_files())
    others = [name for key in _FILES if key != language for name in _FILES[key]]
    east_asian = () if language == "other" else _ALL_LANGUAGES
    patterns = (*east_asian, *_FILES[language], *_ALL_LANGUAGES, *others)
    found = [
        str(path)
        for pattern in patterns
        for path in sorted(files, key=_heaviness)
        if Path(path.stem.lower()).match(pattern.lower())
    ]
    return tuple(dict.fromkeys(found))


def _heaviness(path: Path) -> tuple[bool, str]:
    """Sort regular weights before bold and light ones."""
    is_regular = path.stem.lower().endswith(("regular", "medium")) or "-" not in path.stem
    return not is_regular, path.name


def _font_files() -> Iterator[Path]:
    for folder in font_folders():
        if folder.is_dir():
            yield from (p for p in folder.rglob("*") if p.suffix.lower() in _EXTENSIONS)


def font_folders() -> list[Path]:
    """Return the folders where this system keeps fonts."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises without a home
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    if sys.platform == "win32":
        windows = Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts"
        return [windows, home / "AppData/Local/Microsoft/Windows/Fonts"]
    data = os.environ.get("XDG_DATA_HOME") or home / ".local/share"
    shared = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts")]
    return [*shared, home / ".fonts", Path(data) / "fonts"]


@cache
def _has(path: str | None, character: str) -> bool:
    """Return whether a font has a character: it does not look like one that is missing."""
    if character.isspace():
        return True
    try:
        probe = _pillow_font(_PROBE_PX) if path is None else _installed_font(path, _PROBE_PX)
        return bytes(probe.getmask(character)) != bytes(probe.getmask(_NO_CHARACTER))
    except (OSError, UnicodeError):
        return False  # not a font, or a bitmap font without the character
