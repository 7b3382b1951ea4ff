import json
import re
from pathlib import Path

import numpy as np
import pytest

from minicaffe.data.batches import ImageBatches
from minicaffe.data.records.image_list import ImageFiles, ImageListRecords
from minicaffe.data.transformer import DataTransformer
from minicaffe.distributed.parts import BatchRows
from minicaffe.errors import DataError, NetError
from minicaffe.net import Net
from minicaffe.random import RandomStream
from minicaffe.schema import parse_net
from minicaffe.schema.minicaffe_pb2 import TEST, TransformationParameter

GOLDEN = Path(__file__).parents[1] / "golden"

IMAGES = GOLDEN / "files" / "images"
LIST = str(IMAGES / "list.txt")


def batches(source=LIST, batch_size=4, seed=1, transform=None, **options):
    shuffle, rand_skip = options.pop("shuffle", False), options.pop("rand_skip", 0)
    options = {"root_folder": f"{IMAGES}/", "height": 6, "width": 5, **options}
    stream = RandomStream(seed, "data")
    records = ImageListRecords(ImageFiles(source, **options), stream if shuffle else None)
    records.skip_at_random(rand_skip, stream)
    transformer = DataTransformer(transform or TransformationParameter(), TEST)
    return ImageBatches(records, BatchRows(batch_size), transformer, stream)


def layer(settings, rest=""):
    text = (
        'layer { name: "data" type: "ImageData" top: "data" top: "label" '
        f"image_data_param {{ {settings} }} {rest} }}"
    )
    return Net(parse_net(text, "net.prototxt"), "TEST", seed=1)


def test_values_are_those_of_caffe():
    """Resized images may be one grey level off in 1 % of the values."""
    with np.load(GOLDEN / "data" / "image_data.npz") as golden:
        text = str(golden["prototxt"]).replace("FILES", str(GOLDEN / "files"))
        net = Net(parse_net(text, "net.prototxt"), "TEST")
        for i in range(int(golden["batches"])):
            net.forward()
            want = golden[f"batch.{i}.data"]
            got = net.blobs["data"].data.get()
            assert got.shape == want.shape
            off = np.abs(got - want)
            assert off.max() <= 1
            assert (off > 0).mean() <= 0.01
            np.testing.assert_array_equal(net.blobs["label"].data.get(), golden[f"batch.{i}.label"])
        net.close()


def test_batches_follow_the_list_and_restarts_are_logged(caplog_minicaffe):
    source = batches()
    names = [
        key.decode().removeprefix(f"{IMAGES}/") for _ in range(3) for key in source.next().keys
    ]
    listed = [line.rsplit(" ", 1)[0] for line in (IMAGES / "list.txt").read_text().splitlines()]
    assert "a/img 8 with space.jpg" in listed
    assert names == listed + listed[:2]
    assert caplog_minicaffe.messages == [
        f"Opening file {LIST}",
        "A total of 10 images.",
        "Restarting data prefetching from start.",
    ]
    source.close()


def test_shuffled_rounds_hold_every_image_once_in_different_orders():
    source = batches(batch_size=5, shuffle=True)
    rounds = [tuple(source.next().keys + source.next().keys) for _ in range(3)]
    assert len(set(rounds)) == 3
    assert len({frozenset(keys) for keys in rounds}) == 1
    assert len(set(rounds[0])) == 10
    assert tuple(batches(batch_size=10, shuffle=True).next().keys) == rounds[0]
    assert tuple(batches(batch_size=10, shuffle=True, seed=2).next().keys) != rounds[0]
    source.close()


def test_a_restored_source_continues_exactly():
    options = {"shuffle": True, "transform": TransformationParameter(mirror=True)}
    source, again = batches(**options), batches(**options)
    made = [source.next() for _ in range(7)]
    again.restore(json.loads(json.dumps(made[3].position)))
    for batch in made[4:]:
        repeated = again.next()
        np.testing.assert_array_equal(repeated.tops[0], batch.tops[0])
        assert repeated.keys == batch.keys
    assert made[3].position == {"round": 1, "next": 6, "step": 4}


def test_a_layer_restored_in_another_run_continues():
    settings = f'source: "{LIST}" root_folder: "{IMAGES}/" new_height: 6 new_width: 5 shuffle: true'
    net = layer(settings)
    for _ in range(3):
        net.forward()
    state = json.loads(json.dumps(net.state()))
    net.forward()
    other = Net(net.source, "TEST", seed=2)
    other.restore(state)
    other.forward()
    np.testing.assert_array_equal(other.blobs["data"].data.get(), net.blobs["data"].data.get())
    net.close()
    other.close()


def test_grey():
    assert batches(color=False).next().tops[0].shape == (4, 1, 6, 5)


def test_rand_skip(caplog_minicaffe):
    skipped = set()
    for seed in range(12):
        source = batches(rand_skip=3, seed=seed)
        n = int(re.findall(r"Skipping first (\d) data points.", caplog_minicaffe.text)[-1])
        assert source.position()["next"] == n
        skipped.add(n)
    assert skipped == {0, 1, 2}
    with pytest.raises(DataError, match="rand_skip is 11, but the list has 10 images; it can be"):
        batches(rand_skip=11)


def test_sizes_may_differ_from_batch_to_batch_only():
    source = batches(batch_size=1, height=0, width=0)
    assert len({source.next().tops[0].shape for _ in range(10)}) > 1
    with pytest.raises(DataError) as caught:
        batches(height=0, width=0).next()
    assert re.fullmatch(
        rf"{LIST}:\d+: {IMAGES}/.*\.(png|jpg): the image is 3 x \d+ x \d+ \(channels x rows x "
        rf"columns\), but the batch began with 3 x \d+ x \d+ \({LIST}:1: {IMAGES}/.*\); a batch "
        "has one size. Use new_height and new_width, crop_size, or batch_size: 1.",
        str(caught.value),
    )


def test_wrong_lines_are_named_all_at_once(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a.png 1\nb.png\n\nc.png 0.5\n d 2\n")
    with pytest.raises(DataError) as caught:
        batches(str(path))
    rule = (
        "a line is a path, a space and a label, which is a whole number. For several or other "
        "labels use HDF5Data."
    )
    assert str(caught.value).split("\n") == [
        f"{path}:2: 'b.png'; {rule}",
        f"{path}:4: 'c.png 0.5'; {rule}",
    ]


@pytest.mark.parametrize(
    ("root", "hint"),
    [
        ("", r"The path is relative to .*; see root_folder\."),
        ("pics", 'root_folder "pics" is put before the name as it is: end it with "/"'),
        ("pics/", "the image cannot be read: No such file or directory.$"),
    ],
)
def test_a_missing_image_is_named_with_its_line(tmp_path, root, hint):
    path = tmp_path / "list.txt"
    path.write_text("\nmissing one.png 1\n")
    with pytest.raises(DataError, match=hint) as caught:
        batches(str(path), root_folder=root)
    assert str(caught.value).startswith(f"{path}:2: {root}missing one.png: the image cannot")


def test_a_list_that_is_empty_or_missing(tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match=r"empty.txt: the list is empty; a line is a path"):
        batches(str(tmp_path / "empty.txt"))
    with pytest.raises(DataError, match=r"none.txt: the list cannot be read: No such file"):
        batches(str(tmp_path / "none.txt"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("", r"image_data_param { source } is missing: the list of images"),
        (f'source: "{LIST}" new_height: 6', "new_height: 6, new_width: 0; give both or neither"),
        (f'source: "{LIST}" batch_size: 0', "batch_size is 0; it must be at least 1"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(NetError, match=r'net.prototxt:1, layer "data" \(ImageData\): ' + message):
        layer(settings)


def test_errors_of_the_list_name_the_layer(tmp_path):
    with pytest.raises(NetError, match=r'layer "data" \(ImageData\): .*none.txt: the list cannot'):
        layer(f'source: "{tmp_path}/none.txt"')


def test_a_wrong_label_is_reported_with_the_file():
    text = f"""
layer {{ name: "data" type: "ImageData" top: "data" top: "label" image_data_param {{
  source: "{LIST}" root_folder: "{IMAGES}/" new_height: 6 new_width: 5 batch_size: 3 }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param {{
  num_output: 2 }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" }}"""
    net = Net(parse_net(text, "net.prototxt"), "TRAIN", seed=1)
    with pytest.raises(DataError, match=rf"label 2 of sample 2 .* It is {IMAGES}/a/img2.jpg of "):
        net.forward()
    net.close()
