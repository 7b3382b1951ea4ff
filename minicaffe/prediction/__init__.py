"""Trained nets that answer for images: classes, objects, or the class of each pixel.

`open_image_model` chooses the kind of model by the net. Example::

    with closing(open_image_model(ModelFiles("runs/pets-1"), get_backend())) as model:
        image = model.prepare(Path("cat.jpg").read_bytes(), "cat.jpg")
        print(model.predict([image]))
"""

from minicaffe.prediction.classes import ClassModel, ClassScores
from minicaffe.prediction.deployed_net import DeployedNet
from minicaffe.prediction.image_files import answers_for_files
from minicaffe.prediction.image_model import ImageAnswer, ImageModel, PreparedImage, class_name
from minicaffe.prediction.masks import MaskModel, PixelClasses
from minicaffe.prediction.objects import FoundObjects, ObjectModel
from minicaffe.prediction.opening import ModelFiles, open_deployed_net, open_image_model, source_of
from minicaffe.prediction.pixel_values import PixelValues
from minicaffe.prediction.regions import RegionModel, RegionSettings

__all__ = [
    "ClassModel",
    "ClassScores",
    "DeployedNet",
    "FoundObjects",
    "ImageAnswer",
    "ImageModel",
    "MaskModel",
    "ModelFiles",
    "ObjectModel",
    "PixelClasses",
    "PixelValues",
    "PreparedImage",
    "RegionModel",
    "RegionSettings",
    "answers_for_files",
    "class_name",
    "open_deployed_net",
    "open_image_model",
    "source_of",
]
