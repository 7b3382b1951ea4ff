"""Pictures of two classes, which a small net learns to tell apart."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def draw_shape(path, is_circle, rng, size=(48, 40), mode="RGB"):
    """Write a picture of a circle or a cross at a random place, in random colours."""
    paper = tuple(int(c) for c in rng.integers(150, 256, 3))
    image = Image.new("RGB", size, paper)
    pen = ImageDraw.Draw(image)
    r = int(rng.integers(9, 15))
    x, y = (int(rng.integers(r, side - r)) for side in size)
    ink = tuple(int(c) for c in rng.integers(0, 90, 3))
    if is_circle:
        pen.ellipse((x - r, y - r, x + r, y + r), fill=ink)
    else:
        pen.line((x - r, y, x + r, y), fill=ink, width=5)
        pen.line((x, y - r, x, y + r), fill=ink, width=5)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.convert(mode).save(path)


def make_pictures(root, n_each, seed=0, **settings):
    """Write folders "circle" and "cross" with pictures."""
    rng = np.random.default_rng(seed)
    for name in ("circle", "cross"):
        for k in range(n_each):
            draw_shape(Path(root, name, f"{k:03d}.png"), name == "circle", rng, **settings)
