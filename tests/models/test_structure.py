"""The committed nets: as the generator writes them, one in training and deploying, buildable."""

from __future__ import annotations

import pytest

from minicaffe.net import Net
from minicaffe.schema import NetParameter, read_net, read_solver
from minicaffe.schema.text import format_prototxt
from models.generate import NETS, main, prototxt
from zoo import MODELS, NAMES, ROOT, deploy_file, solver_files, training_file, training_net

# Types that the training net lacks or has with another batch size.
OF_DEPLOYMENT = {"Input", "Softmax", "CTCGreedyDecoder", "ContinuationIndicator"}
# Of hundreds of megabytes of parameters: one phase will do.
LARGE = ("alexnet", "caffenet", "vgg16", "vgg19")


def test_all_nets_are_there():
    assert len(NAMES) == 20


@pytest.mark.parametrize("deploy", [False, True], ids=["train_val", "deploy"])
@pytest.mark.parametrize("name", NETS)
def test_generated_files_are_those_committed(name, deploy):
    path = deploy_file(name) if deploy else training_file(name)
    assert path.read_text() == prototxt(name, deploy=deploy)


def test_generator_lists_the_known_nets(capsys):
    assert main(["vgg17"]) == 2
    assert capsys.readouterr().err.startswith("no net vgg17; there are alexnet, caffenet, ")


def described(net: NetParameter, types: set[str]) -> dict[str, str]:
    """Each layer's settings as text, less what only training reads."""
    texts = {}
    for layer in net.layer:
        if layer.type not in types:
            continue
        layer.ClearField("param")
        layer.ClearField("include")
        for field in ("convolution_param", "inner_product_param", "recurrent_param"):
            if layer.HasField(field):
                for filler in ("weight_filler", "bias_filler"):
                    getattr(layer, field).ClearField(filler)
                if field == "convolution_param" and list(layer.convolution_param.stride) == [1]:
                    layer.convolution_param.ClearField("stride")
        layer.batch_norm_param.ClearField("use_global_stats")
        texts[layer.name] = format_prototxt(layer).replace("batch_norm_param {\n}\n", "")
    return texts


@pytest.mark.parametrize("name", NAMES)
def test_deploy_net_is_part_of_the_training_net(name):
    deploy, training = read_net(deploy_file(name)).param, read_net(training_file(name)).param
    types = {layer.type for layer in deploy.layer} - OF_DEPLOYMENT
    expected, found = described(deploy, types), described(training, types)
    assert expected.items() <= found.items()
    learnt = {layer.name for layer in training.layer if layer.type in ("Convolution", "Scale")}
    extra = {layer for layer in learnt - set(expected) if not layer.startswith(("loss1", "loss2"))}
    assert not {layer for layer in extra if not layer.endswith("_p")}  # siamese: the second tower


@pytest.mark.parametrize("path", solver_files(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_solvers_name_files_of_this_repository(path):
    solver = read_solver(path).param
    assert solver.net == "" or (ROOT / solver.net).is_file()
    assert solver.snapshot_prefix.startswith(f"models/{path.parent.name}/")
    assert f"--solver={path.relative_to(ROOT)}" in path.read_text()


def test_consolidated_solver_contains_the_net_of_lenet():
    solver = read_solver(MODELS / "lenet" / "lenet_consolidated_solver.prototxt").param
    plain = read_net(training_file("lenet")).param
    assert list(solver.net_param.layer)[3:] == list(plain.layer)[2:]
    assert solver.base_lr == read_solver(MODELS / "lenet" / "lenet_solver.prototxt").param.base_lr


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        (n, phase)
        for n in NAMES
        for phase in ("TRAIN", "TEST")
        if n not in LARGE or phase == "TRAIN"
    ],
)
def test_training_net_builds(name, phase):
    assert Net(training_net(name, batch=1), phase, seed=1).outputs
