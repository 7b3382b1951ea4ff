"""torchvision peer of the data pipeline, for an environment without minicaffe.

It reads JPEG files by torchvision's DataLoader in the process itself, in the protocol of
`peer_loop`: the seconds of each batch. With ``"decoder": "pillow"`` the images are decoded and
transformed as in PyTorch's ImageNet example, with "tensor" by torchvision.io and transforms.v2.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
import torchvision
from peer_loop import one_by_one, serve
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.io import ImageReadMode, read_image
from torchvision.transforms import v2

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def with_pillow(path):
    """Return an image as torchvision.datasets.ImageFolder reads it."""
    with Path(path).open("rb") as file:
        return Image.open(file).convert("RGB")


def as_tensor(path):
    """Return an image as a tensor of bytes."""
    return read_image(path, ImageReadMode.RGB)


class Images(Dataset):
    """Image files and their transformation."""

    def __init__(self, message):
        self.files = message["files"]
        crop, size = message["crop"], message["size"]
        if message["decoder"] == "pillow":
            self.load, kind = with_pillow, transforms
            to_floats = [kind.ToTensor()]
        else:
            self.load, kind = as_tensor, v2
            to_floats = [kind.ToDtype(torch.float32, scale=True)]
        resize = [kind.Resize((size, size), antialias=True)] if size else []
        steps = [*resize, kind.RandomCrop(crop), kind.RandomHorizontalFlip(), *to_floats]
        self.transform = kind.Compose([*steps, kind.Normalize(MEAN, DEVIATION)])

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return self.transform(self.load(self.files[index])), index


class Batches:
    """Batches without end."""

    def __init__(self, message):
        torch.set_num_threads(1)
        # Workers would be further processes, which cost more than they gain on one core.
        loader = DataLoader(Images(message), message["batch"], shuffle=True, num_workers=0)
        self.batches = itertools.chain.from_iterable(loader for _ in itertools.count())
        self.run = one_by_one(self.step)

    def step(self):
        """Make a batch."""
        next(self.batches)


if __name__ == "__main__":
    serve(Batches, f"torchvision {torchvision.__version__}")
