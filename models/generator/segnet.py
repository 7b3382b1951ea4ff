"""A small SegNet for the scenes of data/fashion-mnist/write_scenes.py."""

from __future__ import annotations

from typing import Any

from models.generator.draft import MSRA, Draft

CLASSES = 6  # five kinds of objects and the background
SIZE = 96  # rows and columns of the input
FOLDER = "data/fashion-mnist/scenes_of_five"
_STAGES = (32, 64, 96)
# Channels and dilations: the last convolution sees the whole input.
_MIDDLE = ((128, 1), (128, 2), (96, 4))


def segnet_scenes(net: Draft) -> None:
    """Describe three poolings, three convolutions between, and an unpooling for each pooling."""
    x = _data(net)
    for stage, channels in enumerate(_STAGES, start=1):
        x = _pool(net, stage, _conv(net, f"conv{stage}", x, channels))
    for number, (channels, dilation) in enumerate(_MIDDLE, start=1):
        x = _conv(net, f"middle{number}", x, channels, dilation)
    for stage in range(len(_STAGES), 0, -1):
        x = net.layer(
            "Upsample", f"upsample{stage}", [x, f"pool{stage}_mask"], upsample_param={"scale": 2}
        )
        x = _conv(net, f"decode{stage}", x, _STAGES[max(stage - 2, 0)])
    scores = net.conv("score", x, CLASSES, 1, weights=MSRA)
    if net.deploy:
        net.layer("Softmax", "prob", scores)
        return
    net.layer("SegAccuracy", "accuracy", [scores, "label"], include=[{"phase": "TEST"}])
    net.loss("loss", scores)


def _data(net: Draft) -> str:
    if net.deploy:
        shape = {"dim": [1, 3, SIZE, SIZE]}
        return net.layer("Input", "data", [], input_param={"shape": [shape]})
    for phase, part, batch in (("TRAIN", "train", 8), ("TEST", "test", 50)):
        in_training: dict[str, Any] = {"shuffle": True, "mirror": True} if part == "train" else {}
        net.net.layer.add(
            name="data",
            type="DenseImageData",
            top=["data", "label"],
            include=[{"phase": phase}],
            transform_param={"scale": 0.02, "mean_value": [120]},
            dense_image_data_param={
                "source": f"{FOLDER}/{part}_masks.txt",
                "root_folder": f"{FOLDER}/",
                "batch_size": batch,
                "new_height": SIZE,
                "new_width": SIZE,
                **in_training,
            },
        )
    return "data"


def _conv(net: Draft, name: str, bottom: str, channels: int, dilation: int = 1) -> str:
    """Add a convolution, its normalisation and a ReLU."""
    x = net.conv(name, bottom, channels, 3, pad=dilation, weights=MSRA, bias=None)
    if dilation > 1:
        net.net.layer[-1].convolution_param.dilation.append(dilation)
    slope = {"slope_filler": {"type": "constant", "value": 1}}
    rates = [{"lr_mult": rate, "decay_mult": 0} for rate in (1, 1, 0, 0)]
    trained = {} if net.deploy else {"param": rates, "bn_param": slope}
    net.layer("BN", f"{name}_bn", x, top=x, **(trained or {"bn_param": slope}))
    return net.relu(f"{name}_relu", x)


def _pool(net: Draft, stage: int, bottom: str) -> str:
    """Add a pooling whose second top has the places of the maxima."""
    x = net.pool(f"pool{stage}", bottom, "MAX", 2, 2)
    net.net.layer[-1].top.append(f"{x}_mask")
    return x
