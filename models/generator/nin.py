"""Network in Network: convolutions followed by 1 x 1 convolutions ("cccp" layers)."""

from __future__ import annotations

from models.generator.draft import IMAGENET, Draft, gaussian


def nin(net: Draft) -> None:
    """Describe four blocks; the averages of the last 1,000 maps are the scores."""
    x = net.data(IMAGENET, 224, (64, 50), crop=True, mean_file=IMAGENET.mean)
    # The published names skip relu4 and pool1.
    x = net.relu("relu0", net.conv("conv1", x, 96, 11, stride=4, weights=gaussian(0.01)))
    x = _cccp(net, "cccp1", x, 96, "relu1")
    x = _cccp(net, "cccp2", x, 96, "relu2")
    x = net.pool("pool0", x, "MAX", 3, 2)
    x = net.relu("relu3", net.conv("conv2", x, 256, 5, pad=2, weights=gaussian(0.05)))
    x = _cccp(net, "cccp3", x, 256, "relu5")
    x = _cccp(net, "cccp4", x, 256, "relu6")
    x = net.pool("pool2", x, "MAX", 3, 2)
    x = net.relu("relu7", net.conv("conv3", x, 384, 3, pad=1, weights=gaussian(0.01)))
    x = _cccp(net, "cccp5", x, 384, "relu8")
    x = _cccp(net, "cccp6", x, 384, "relu9")
    x = net.dropout("drop", net.pool("pool3", x, "MAX", 3, 2), 0.5)
    x = net.conv("conv4-1024", x, 1024, 3, pad=1, weights=gaussian(0.05), top="conv4")
    x = _cccp(net, "cccp7-1024", net.relu("relu10", x), 1024, "relu11", top="cccp7")
    x = _cccp(net, "cccp8-1024", x, 1000, "relu12", std=0.01, top="cccp8")
    net.classify(net.pool("pool4", x, "AVE", 6))


def _cccp(
    net: Draft, name: str, x: str, channels: int, relu: str, std: float = 0.05, top: str = ""
) -> str:
    x = net.conv(name, x, channels, 1, weights=gaussian(std), top=top or name)
    return net.relu(relu, x)
