"""Grids of images by Pillow: filters, feature maps, contact sheets; and bar charts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from minicaffe.errors import UsageError
from minicaffe.pictures.font import font

Values = npt.NDArray[np.floating]
Pixels = npt.NDArray[np.uint8]

_TEXT_PX, _CAPTION_PX, _MARGIN, _GAP = 14, 24, 8, 3
_NUMBER_PX, _NUMBER_ROW_PX = 11, 15
_INK, _FRAME, _PAPER = "#222222", "#888888", "white"
_TILE_PX = 96  # side of a tile, unless many stand beside each other
_WIDEST_PX = 1600
MOST_PIXELS = 300_000_000
_BAR_HEIGHT_PX = 200
# Of rows of images: side of an image, room for the text, between original and versions, of a line.
_SIDE_PX, _ROW_LABEL_PX, _SEPARATION_PX, _LINE_PX = 128, 150, 16, 16
_BARS = "#1f77b4"
_LABEL_STEPS = (1, 2, 5, 10, 20, 50, 100, 1000)


def to_pixels(values: Values, low: float, high: float) -> Pixels:
    """Map values from `low` (black) to `high` (white) to uint8; NaN becomes black."""
    span = high - low if high > low else 1.0
    scaled = np.nan_to_num((np.asarray(values, np.float64) - low) / span)
    return (scaled.clip(0, 1) * 255).round().astype(np.uint8)


def tile_image(pixels: Pixels) -> Image.Image:
    """Convert pixels, (rows, columns) or (3: blue, green, red; rows, columns), to an image."""
    return Image.fromarray(pixels if pixels.ndim == 2 else pixels[::-1].transpose(1, 2, 0))


def enlargement(rows: int, columns: int, n_across: int) -> int:
    """Return the largest useful integer scale of tiles that fit beside each other."""
    fitting = (_WIDEST_PX // max(n_across, 1) - _GAP) // max(rows, columns)
    return max(1, min(math.ceil(_TILE_PX / max(rows, columns)), fitting))


def image_grid(
    tiles: Sequence[Pixels],
    columns: int,
    caption: str,
    scale: int = 1,
    is_numbered: bool = False,
) -> Image.Image:
    """Arrange tiles of one size in a grid under a caption.

    Parameters
    ----------
    tiles : sequence of ndarray
        See `tile_image`.
    columns : int
        Number of tiles beside each other.
    caption : str
    scale : int
        Pixels of the image for each pixel of a tile, along a side.
    is_numbered : bool
        Whether each tile has its number, from 0, above it. Tiles too narrow for it have none.
    """
    height, width = tiles[0].shape[-2] * scale, tiles[0].shape[-1] * scale
    is_numbered &= width > font(_NUMBER_PX).getlength(str(len(tiles) - 1))
    head = _NUMBER_ROW_PX if is_numbered else 0
    pitch = height + _GAP + head
    rows = math.ceil(len(tiles) / columns)
    lines = wrapped(caption, max(columns * (width + _GAP), 320))
    top = _MARGIN + len(lines) * _CAPTION_PX
    text_width = max(font(_TEXT_PX, line).getlength(line) for line in lines)
    sheet = _paper(max(columns * (width + _GAP) - _GAP, int(text_width) + 1), top + rows * pitch)
    _write_lines(sheet, lines)
    pen = ImageDraw.Draw(sheet)
    for k, tile in enumerate(tiles):
        row, column = divmod(k, columns)
        x, y = _MARGIN + column * (width + _GAP), top + row * pitch
        if is_numbered:
            pen.text((x, y + head / 2), str(k), _INK, font(_NUMBER_PX), "lm")
        large = tile_image(tile).resize((width, height), Image.Resampling.NEAREST)
        sheet.paste(large, (x, y + head))
    return sheet


def contact_sheet(
    images: Sequence[Pixels], captions: Sequence[Sequence[str]], title: str, columns: int = 6
) -> Image.Image:
    """Arrange images in a grid under a title, with lines of text below each."""
    side, text = 128, 15
    n_lines = max((len(lines) for lines in captions), default=0)
    cell_w, cell_h = side + 24, side + n_lines * text + 14
    columns = max(1, min(columns, len(images)))
    head = wrapped(title, max(columns * cell_w, 320))
    top = _MARGIN + len(head) * _CAPTION_PX
    rows = math.ceil(len(images) / columns)
    sheet = _paper(max(columns * cell_w, 320), top + rows * cell_h)
    _write_lines(sheet, head)
    pen = ImageDraw.Draw(sheet)
    for k, (pixels, lines) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(k, columns)
        x, y = _MARGIN + column * cell_w, top + row * cell_h
        sheet.paste(_fitted(tile_image(pixels), side), (x + (cell_w - side) // 2, y))
        for n, line in enumerate(lines):
            middle = y + side + 10 + n * text
            pen.text(
                (x + cell_w / 2, middle), shortened(line, cell_w - 6), _INK, font(11, line), "mm"
            )
    return sheet


def before_and_after(
    rows: Sequence[tuple[Pixels, Sequence[str], Sequence[Pixels]]], title: str
) -> Image.Image:
    """Draw rows of an image, lines of text about it, and what becomes of it, under a title."""
    n_across = 1 + max(len(versions) for _, _, versions in rows)
    n_lines = max(len(lines) for _, lines, _ in rows)
    width = _ROW_LABEL_PX + n_across * (_SIDE_PX + _GAP) + _SEPARATION_PX
    head = wrapped(title, width)
    top = _MARGIN + len(head) * _CAPTION_PX + 20
    pitch = max(_SIDE_PX, n_lines * _LINE_PX) + 3 * _GAP
    sheet = _paper(width, top + len(rows) * pitch)
    _write_lines(sheet, head)
    pen = ImageDraw.Draw(sheet)
    x = _MARGIN + _ROW_LABEL_PX
    after = x + _SIDE_PX + _SEPARATION_PX
    for left, word in ((x, "original"), (after, "as the net reads it")):
        pen.text((left, top - 10), word, _FRAME, font(_TEXT_PX), "lm")
    for k, (image, lines, versions) in enumerate(rows):
        y = top + k * pitch
        for n, line in enumerate(lines):
            text = shortened(line, _ROW_LABEL_PX - _MARGIN)
            pen.text((_MARGIN, y + 8 + n * _LINE_PX), text, _INK, font(11, line), "lm")
        sheet.paste(_fitted(tile_image(image), _SIDE_PX), (x, y))
        for n, version in enumerate(versions):
            at = after + n * (_SIDE_PX + _GAP), y
            sheet.paste(_fitted(tile_image(version), _SIDE_PX), at)
    return sheet


def bar_chart(values: Values, caption: str) -> Image.Image:
    """Draw one bar for each value, under a caption; non-finite values get no bar."""
    n = len(values)
    step = max(1, min(24, _WIDEST_PX // n))
    lines = wrapped(caption, max(n * step, 320))
    top = _MARGIN + len(lines) * _CAPTION_PX
    sheet = _paper(max(n * step, 320), top + _BAR_HEIGHT_PX + 20)
    _write_lines(sheet, lines)
    values = np.where(np.isfinite(values), values, 0.0)
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    y = top + _BAR_HEIGHT_PX * (1 - (values - low) / ((high - low) or 1.0))
    zero = top + _BAR_HEIGHT_PX * (1 + low / ((high - low) or 1.0))
    pen = ImageDraw.Draw(sheet)
    room_px = 8 + 7 * len(str(n - 1))
    labelled = next(m for m in _LABEL_STEPS if m * step >= room_px)
    for k in range(n):
        left = _MARGIN + k * step
        ends = sorted((float(y[k]), zero))
        pen.rectangle((left, ends[0], left + max(step - 2, 0), ends[1]), fill=_BARS)
        if k % labelled == 0:
            pen.text((left + step / 2, top + _BAR_HEIGHT_PX + 12), str(k), _INK, font(11), "mm")
    pen.line((_MARGIN, zero, _MARGIN + n * step, zero), fill=_FRAME)
    return sheet


def wrapped(text: str, width_px: float) -> list[str]:
    """Break a text at spaces into lines of at most a given width."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font(_TEXT_PX, longer).getlength(longer) > width_px:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def shortened(text: str, width_px: float) -> str:
    """Cut a text in the middle so that it fits a width: the ends of file names matter."""
    small, kept, short = font(11, text), len(text), text
    while kept and small.getlength(short) > width_px:
        kept -= 1
        short = f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"
    return short


def _paper(width: int, height: int) -> Image.Image:
    if width * height > MOST_PIXELS:
        raise UsageError(
            f"the image would have {width} x {height} pixels, which is too large; make it smaller, "
            "for example with a smaller --zoom"
        )
    return Image.new("RGB", (width + 2 * _MARGIN, height + _MARGIN), _PAPER)


def _write_lines(sheet: Image.Image, lines: Sequence[str]) -> None:
    pen = ImageDraw.Draw(sheet)
    for n, line in enumerate(lines):
        pen.text((_MARGIN, _MARGIN + n * _CAPTION_PX), line, _INK, font(_TEXT_PX, line))


def _fitted(image: Image.Image, side: int) -> Image.Image:
    """Scale an image so that it fits a square, on white."""
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    method = Image.Resampling.NEAREST if scale > 2 else Image.Resampling.BILINEAR
    square = Image.new("RGB", (side, side), _PAPER)
    corner = (side - size[0]) // 2, (side - size[1]) // 2
    square.paste(image.resize(size, method), corner)
    return square
