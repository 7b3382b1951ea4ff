"""Generators of the nets of models/ that are too repetitive to write by hand.

Each function takes an empty `Draft` and adds the layers of one net, with the published names.
"""

from models.generator.alexnet import alexnet, caffenet
from models.generator.cifar10 import cifar10_full, cifar10_quick
from models.generator.crnn import crnn_lines
from models.generator.draft import Draft
from models.generator.faster_rcnn import faster_rcnn_scenes
from models.generator.googlenet import googlenet
from models.generator.mobilenet import mobilenet_v1
from models.generator.nin import nin
from models.generator.resnet import resnet18, resnet50
from models.generator.segnet import segnet_scenes
from models.generator.squeezenet import squeezenet
from models.generator.ssd import ssd_scenes
from models.generator.vgg import vgg16, vgg19
from models.generator.yolo import yolo_scenes

NETS = {
    "alexnet": alexnet,
    "caffenet": caffenet,
    "cifar10_full": cifar10_full,
    "cifar10_quick": cifar10_quick,
    "crnn_lines": crnn_lines,
    "faster_rcnn_scenes": faster_rcnn_scenes,
    "googlenet": googlenet,
    "mobilenet_v1": mobilenet_v1,
    "nin": nin,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "segnet_scenes": segnet_scenes,
    "squeezenet": squeezenet,
    "ssd_scenes": ssd_scenes,
    "vgg16": vgg16,
    "vgg19": vgg19,
    "yolo_scenes": yolo_scenes,
}

__all__ = ["NETS", "Draft"]
