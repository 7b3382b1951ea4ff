"""Builder of a net's prototxt, for training or for deployment.

A deploy net reads images from an Input layer, ends in probabilities, and omits fields that only
training reads (fillers, learning rates). `Draft` handles these differences, so that one description
of a net gives both files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minicaffe.schema import NetParameter
from minicaffe.schema.text import format_prototxt

Fields = Mapping[str, Any]

#: (learning rate, weight decay) of weights and biases; biases: doubled rate, no decay.
RATES = ((1, 1), (2, 0))


@dataclass(frozen=True)
class Database:
    """The two databases of a data set and its mean image.

    Attributes
    ----------
    train, test : str
        LMDB folders, relative to the repository's root.
    mean : str
        Output of `minicaffe compute_image_mean`, relative to the repository's root.
    """

    train: str
    test: str
    mean: str


IMAGENET = Database(
    "data/ilsvrc12/train_lmdb", "data/ilsvrc12/val_lmdb", "data/ilsvrc12/mean.binaryproto"
)
CIFAR10 = Database(
    "data/cifar10/cifar10_train_lmdb",
    "data/cifar10/cifar10_test_lmdb",
    "data/cifar10/mean.binaryproto",
)


def gaussian(std: float) -> Fields:
    """Return a filler with a normal distribution of mean 0."""
    return {"type": "gaussian", "std": std}


XAVIER: Fields = {"type": "xavier"}
MSRA: Fields = {"type": "msra"}


class Draft:
    """Builder of a net.

    Parameters
    ----------
    name : str
        The net's name.
    deploy : bool
        Whether to build the deploy net; otherwise the net for training and testing.
    """

    def __init__(self, name: str, *, deploy: bool) -> None:
        self.deploy = deploy
        self.net = NetParameter(name=name)

    def text(self) -> str:
        """Return the net as prototxt."""
        return str(format_prototxt(self.net))

    def layer(self, type: str, name: str, bottom: str | Sequence[str], **fields: Any) -> str:
        """Add a layer and return its top's name: ``top``, or the layer's own name.

        `fields` are those of LayerParameter; fields that are None are omitted.
        """
        bottoms = [bottom] if isinstance(bottom, str) else list(bottom)
        top = fields.pop("top", name)
        fields = {key: value for key, value in fields.items() if value is not None}
        self.net.layer.add(name=name, type=type, bottom=bottoms, top=[top], **fields)
        return str(top)

    def data(
        self, database: Database, size: int, batches: tuple[int, int], crop: bool, **transform: Any
    ) -> str:
        """Add the data layers of colour images of `size` x `size`; return the blob's name.

        `batches` are the batch sizes in training and in testing. With `crop`, images are cropped
        from larger ones; in training, at a random position and mirrored at random.
        """
        if self.deploy:
            shape = {"dim": [1, 3, size, size]}
            return self.layer("Input", "data", [], input_param={"shape": [shape]})
        if crop:
            transform["crop_size"] = size
        for phase, source, batch in zip(
            ("TRAIN", "TEST"), (database.train, database.test), batches, strict=True
        ):
            mirror = {"mirror": True} if crop and phase == "TRAIN" else {}
            self.net.layer.add(
                name="data",
                type="Data",
                top=["data", "label"],
                include=[{"phase": phase}],
                transform_param={**transform, **mirror},
                data_param={"source": source, "batch_size": batch, "backend": "LMDB"},
            )
        return "data"

    def conv(
        self,
        name: str,
        bottom: str,
        channels: int,
        kernel: int,
        *,
        weights: Fields,
        bias: float | None = 0,
        stride: int = 1,
        pad: int = 0,
        group: int = 1,
        rates: Sequence[tuple[float, float]] = RATES,
        top: str | None = None,
    ) -> str:
        """Add a convolution; `bias` is the initial value of biases, None: no biases."""
        geometry = {
            "num_output": channels,
            "kernel_size": [kernel],
            **({"pad": [pad]} if pad else {}),
            **({"stride": [stride]} if stride > 1 else {}),
            **({"group": group} if group > 1 else {}),
        }
        learnt = self._learnt(weights, bias, rates)
        return self.layer(
            "Convolution",
            name,
            bottom,
            top=top or name,
            param=learnt.pop("param"),
            convolution_param={**geometry, **learnt},
        )

    def inner_product(
        self,
        name: str,
        bottom: str,
        channels: int,
        *,
        weights: Fields,
        bias: float = 0,
        rates: Sequence[tuple[float, float]] = RATES,
    ) -> str:
        """Add an inner product; `bias` is the initial value of biases."""
        learnt = self._learnt(weights, bias, rates)
        return self.layer(
            "InnerProduct",
            name,
            bottom,
            param=learnt.pop("param"),
            inner_product_param={"num_output": channels, **learnt},
        )

    def _learnt(
        self, weights: Fields, bias: float | None, rates: Sequence[tuple[float, float]]
    ) -> dict[str, Any]:
        bias_term = {} if bias is not None else {"bias_term": False}
        if self.deploy:
            return {"param": None, **bias_term}
        if bias is None:
            return {"param": _params(rates[:1]), "weight_filler": dict(weights), **bias_term}
        filler = {"type": "constant", **({"value": bias} if bias else {})}
        return {"param": _params(rates), "weight_filler": dict(weights), "bias_filler": filler}

    def relu(self, name: str, blob: str) -> str:
        """Add an in-place ReLU."""
        return self.layer("ReLU", name, blob, top=blob)

    def dropout(self, name: str, blob: str, ratio: float) -> str:
        """Add an in-place dropout, which is the identity outside of training."""
        return self.layer("Dropout", name, blob, top=blob, dropout_param={"dropout_ratio": ratio})

    def pool(
        self, name: str, bottom: str, method: str, kernel: int, stride: int = 1, pad: int = 0
    ) -> str:
        """Add a pooling layer; `method` is MAX or AVE."""
        param = {
            "pool": method,
            "kernel_size": kernel,
            **({"stride": stride} if stride > 1 else {}),
        }
        return self.layer(
            "Pooling", name, bottom, pooling_param={**param, **({"pad": pad} if pad else {})}
        )

    def pool_all(self, name: str, bottom: str) -> str:
        """Add a global average pooling."""
        return self.layer(
            "Pooling", name, bottom, pooling_param={"pool": "AVE", "global_pooling": True}
        )

    def lrn(self, name: str, bottom: str, size: int, alpha: float, **param: Any) -> str:
        """Add local response normalisation with beta 0.75."""
        param = {"local_size": size, "alpha": alpha, "beta": 0.75, **param}
        return self.layer("LRN", name, bottom, lrn_param=param)

    def batch_norm(
        self,
        name: str,
        scale: str,
        bottom: str,
        *,
        top: str | None = None,
        param: Fields | None = None,
    ) -> str:
        """Add a BatchNorm and its Scale, in place unless `top` is given."""
        top = self.layer("BatchNorm", name, bottom, top=top or bottom, batch_norm_param=param)
        return self.layer("Scale", scale, top, top=top, scale_param={"bias_term": True})

    def loss(
        self, name: str, scores: str, top: str | None = None, weight: float | None = None
    ) -> None:
        """Add a softmax loss to the net for training."""
        self.layer(
            "SoftmaxWithLoss",
            name,
            [scores, "label"],
            top=top or name,
            loss_weight=None if weight is None else [weight],
        )

    def accuracy(self, name: str, scores: str, top_k: int = 1) -> None:
        """Add the top-k accuracy in the TEST phase."""
        self.layer(
            "Accuracy",
            name,
            [scores, "label"],
            include=[{"phase": "TEST"}],
            accuracy_param={"top_k": top_k} if top_k > 1 else None,
        )

    def classify(self, scores: str, *, top_5: str | None = None) -> None:
        """Add the last layers: probabilities for deployment, otherwise loss and accuracy.

        `top_5` is the name of an additional top-5 accuracy.
        """
        if self.deploy:
            self.layer("Softmax", "prob", scores)
            return
        self.accuracy("accuracy", scores)
        if top_5:
            self.accuracy(top_5, scores, top_k=5)
        self.loss("loss", scores)


def _params(rates: Sequence[tuple[float, float]]) -> list[dict[str, float]]:
    return [{"lr_mult": lr, "decay_mult": decay} for lr, decay in rates]
