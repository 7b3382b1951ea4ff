"""Write train_val.prototxt and deploy.prototxt of the generated nets of this folder.

Run from the repository's root; without names, all nets are written:

    python -m models.generate [NAME ...]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from models.generator import NETS, Draft

FOLDER = Path(__file__).resolve().parent
TITLES = {
    "alexnet": "AlexNet",
    "caffenet": "CaffeNet",
    "cifar10_full": "CIFAR10_full",
    "cifar10_quick": "CIFAR10_quick",
    "crnn_lines": "CRNN_lines",
    "faster_rcnn_scenes": "Faster_RCNN_scenes",
    "googlenet": "GoogleNet",
    "mobilenet_v1": "MOBILENET",
    "nin": "nin_imagenet",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "segnet_scenes": "SegNet_scenes",
    "squeezenet": "SqueezeNet",
    "ssd_scenes": "SSD_scenes",
    "vgg16": "VGG_ILSVRC_16_layers",
    "vgg19": "VGG_ILSVRC_19_layers",
    "yolo_scenes": "YOLO_scenes",
}


def prototxt(name: str, *, deploy: bool) -> str:
    """Return the text of a net's file."""
    draft = Draft(TITLES[name], deploy=deploy)
    NETS[name](draft)
    return f"# Written by: python -m models.generate {name}\n{draft.text()}"


def main(names: Sequence[str]) -> int:
    """Write the files of the named nets, or of all nets."""
    unknown = [name for name in names if name not in NETS]
    if unknown:
        print(f"no net {', '.join(unknown)}; there are {', '.join(NETS)}", file=sys.stderr)
        return 2
    for name in names or NETS:
        folder = FOLDER / name
        folder.mkdir(exist_ok=True)
        for file, deploy in (("train_val", False), ("deploy", True)):
            (folder / f"{file}.prototxt").write_text(prototxt(name, deploy=deploy))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
