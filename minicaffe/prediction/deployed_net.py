"""A net with trained weights that computes outputs of inputs, both arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from minicaffe.log import suppress_info
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers
from minicaffe.ops.backend import Backend, HostArray, Shape
from minicaffe.schema import TEST, NetSource, NetState


class DeployedNet:
    """A net in the TEST phase, with its weights.

    Parameters
    ----------
    net : Net
        Its data are inputs. It is closed with this object.

    Attributes
    ----------
    net : Net
    path : str
        The prototxt, for messages.
    input_shapes : mapping of str to tuple of int
        The inputs as the prototxt has them.

    Notes
    -----
    One thread at a time may call `infer`. Nets of one backend in several threads take turns: each
    layer holds the backend's lock while it computes.
    """

    def __init__(self, net: Net) -> None:
        self.net, self.path = net, net.source.path
        self.input_shapes: Mapping[str, Shape] = {blob.name: blob.shape for blob in net.inputs}

    @property
    def output_shapes(self) -> dict[str, Shape]:
        """The outputs for the inputs that were computed last."""
        return {blob.name: blob.shape for blob in self.net.outputs}

    def infer(self, inputs: Mapping[str, HostArray], wanted: Iterable[str]) -> dict[str, HostArray]:
        """Return the values of blobs.

        Parameters
        ----------
        inputs : mapping of str to ndarray of float32
            The values of each input, of any shape that the net can take.
        wanted : iterable of str
            Names of blobs.

        Returns
        -------
        dict of str to ndarray of float32
        """
        for blob in self.net.inputs:
            values = inputs[blob.name]
            if blob.shape != values.shape:
                blob.reshape(values.shape)
            blob.data.set(values)
        self.net.forward()
        return {name: self.net.blobs[name].data.get() for name in wanted}

    def twin(self) -> DeployedNet:
        """Return the net once more, with the same weights in memory.

        Each of the two keeps the plans for its shapes: a net that changes between two shapes plans
        its layers anew each time.
        """
        with suppress_info():
            net = Net(self.net.source, NetState(phase=TEST), backend=self.net.backend, fills=False)
            net.share_parameters_with(self.net, is_quiet=True)
            for step in net.steps:
                if not step.layer.blobs:
                    step.fill()
        return DeployedNet(net)

    def close(self) -> None:
        """Close the net."""
        self.net.close()


def read_deployed_net(
    source: NetSource, weights: str, backend: Backend, state: NetState
) -> DeployedNet:
    """Build a net and read its weights.

    Parameters
    ----------
    source : NetSource
        A net whose data are inputs.
    weights : str
        The file.
    backend : Backend
    state : NetState
        Level and stages for rules of layers; the phase becomes TEST.

    Raises
    ------
    MinicaffeError
        If the net cannot be built, or the weights do not fit.
    """
    state.phase = TEST
    net = Net(source, state, backend=backend, fills=False)
    try:
        net.fill()
        copy_trained_layers(net, weights)
    except BaseException:
        net.close()
        raise
    return DeployedNet(net)
