"""VideoData: clips and segments from folders of images, clips and frames from video files."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from google.protobuf import text_format

from minicaffe.data.image import encode_image
from minicaffe.distributed.parts import WHOLE, BatchParts, WorkShare
from minicaffe.errors import NetError
from minicaffe.layers import LAYERS
from minicaffe.net import Net
from minicaffe.schema import LayerParameter, parse_net

ROWS, COLUMNS = 16, 24
N_FRAMES = 12


def picture(*values):
    """Return an image of plain colour; JPEG and video codecs keep it."""
    return np.full((len(values), ROWS, COLUMNS), np.array(values)[:, None, None], np.uint8)


def grey_of(number):
    return 10 * number


@pytest.fixture
def folder(tmp_path):
    """A folder of frames 1 to 12 whose grey value is ten times their number, as C3D names them."""
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(1, N_FRAMES + 1):
        content = encode_image(picture(*[grey_of(number)] * 3), "jpg")
        (frames / f"{number:06d}.jpg").write_bytes(content)
    return frames


@pytest.fixture
def segments(tmp_path):
    """A folder of frames 1 to 12 in colour, and of flow: x is ten times the number, y 1 more."""
    frames = tmp_path / "segments"
    frames.mkdir()
    for number in range(1, N_FRAMES + 1):
        grey = grey_of(number)
        for name, image in (
            (f"img_{number:05d}.png", picture(grey, grey + 1, grey + 2)),
            (f"flow_x_{number:04d}.png", picture(grey)),
            (f"flow_y_{number:04d}.png", picture(grey + 1)),
        ):
            (frames / name).write_bytes(encode_image(image, "png"))
    return frames


@pytest.fixture
def video(tmp_path):
    """A video of 12 frames; frame i, from 0, has the grey value 10 (i + 1)."""
    av = pytest.importorskip("av", reason="needs PyAV, of the dev extra")
    path = tmp_path / "video.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = COLUMNS, ROWS, "yuvj420p"
        stream.options = {"q:v": "1"}
        for number in range(1, N_FRAMES + 1):
            image = np.ascontiguousarray(picture(*[grey_of(number)] * 3).transpose(1, 2, 0))
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def listed(tmp_path, *lines):
    path = tmp_path / "list.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def layer(settings, rest="", phase="TEST", seed=1, tops='top: "data" top: "label"'):
    text = f'layer {{ name: "data" type: "VideoData" {tops} {settings} {rest} }}'
    return Net(parse_net(text, "net.prototxt"), phase, seed=seed)


def run(net):
    """Return data and labels of the next batch."""
    net.forward()
    return net.blobs["data"].data.get(), net.blobs["label"].data.get()


def numbers(clips):
    """Return the number of each frame, (n, frames), from the grey values of clips."""
    first = clips[:, 0, :, 0, 0] if clips.ndim == 5 else clips[:, 0, 0, 0]
    return np.round(first / 10).astype(int).tolist()


def test_a_clip_of_images_has_the_frames_behind_the_channels(tmp_path, folder):
    source = listed(tmp_path, f"{folder} 3 7", f"{folder} 1 2")
    settings = f'source: "{source}" use_image: true new_length: 4 batch_size: 2'
    data, labels = run(layer(f"video_data_param {{ {settings} }}"))
    assert data.shape == (2, 3, 4, ROWS, COLUMNS)
    assert numbers(data) == [[3, 4, 5, 6], [1, 2, 3, 4]]
    assert (data.min((3, 4)) == data.max((3, 4))).all()
    assert labels.tolist() == [7, 2]


def test_sampling_rate_size_crop_and_means(tmp_path, folder):
    source = listed(tmp_path, f"{folder} 2 0")
    settings = (
        f'source: "{source}" use_image: true new_length: 3 sampling_rate: 4 new_height: 10'
        " new_width: 12"
    )
    transform = "crop_size: 8 mean_value: 1 mean_value: 2 mean_value: 3 scale: 0.5"
    data, _ = run(layer(f"video_data_param {{ {settings} }} transform_param {{ {transform} }}"))
    assert data.shape == (1, 3, 3, 8, 8)
    want = [[(10 * n - mean) / 2 for n in (2, 6, 10)] for mean in (1, 2, 3)]
    np.testing.assert_allclose(data[0, :, :, 0, 0], want, atol=0.5)


def test_jitter_draws_the_first_frame_and_resumes(tmp_path, folder):
    source = listed(tmp_path, *[f"{folder} {N_FRAMES} 0"] * 3)
    settings = (
        f'video_data_param {{ source: "{source}" use_image: true new_length: 3 batch_size: 3'
        " use_temporal_jitter: true shuffle: true }"
    )
    net = layer(settings, phase="TRAIN")
    seen = [numbers(run(net)[0]) for _ in range(4)]
    firsts = {clip[0] for batch in seen for clip in batch}
    assert len(firsts) > 3
    assert firsts <= set(range(1, N_FRAMES - 1))
    again = layer(settings, phase="TRAIN")
    run(again)
    state = json.loads(json.dumps(again.state()))
    resumed = layer(settings, phase="TRAIN", seed=5)
    resumed.restore(state)
    assert [numbers(run(resumed)[0]) for _ in range(3)] == seen[1:]
    assert numbers(run(layer(settings))[0]) == [[1, 2, 3]] * 3


def test_segments_of_colour_and_of_flow(tmp_path, segments):
    source = listed(tmp_path, f"{segments} {N_FRAMES} 4")
    rgb = f'source: "{source}" num_segments: 3 modality: RGB name_pattern: "img_%05d.png"'
    data, labels = run(layer(f"video_data_param {{ {rgb} }}"))
    assert data.shape == (1, 9, ROWS, COLUMNS)
    # The middle ones of frames 1 to 4, 5 to 8 and 9 to 12.
    assert data[0, :, 0, 0].tolist() == [30, 31, 32, 70, 71, 72, 110, 111, 112]
    assert labels.tolist() == [4]
    flow = (
        f'source: "{source}" num_segments: 2 new_length: 2 modality: FLOW'
        ' name_pattern: "flow_%c_%04d.png"'
    )
    data, _ = run(layer(f"video_data_param {{ {flow} }}"))
    assert data.shape == (1, 8, ROWS, COLUMNS)
    assert data[0, :, 0, 0].tolist() == [30, 31, 40, 41, 90, 91, 100, 101]


def test_segments_are_random_in_training_and_flow_is_mirrored(tmp_path, segments):
    source = listed(tmp_path, f"{segments} {N_FRAMES} 4")
    settings = (
        f'video_data_param {{ source: "{source}" num_segments: 2 new_length: 2'
        ' name_pattern: "flow_%c_%04d.png" }'
    )
    transform = "transform_param { mirror: true is_flow: true }"
    net = layer(settings, transform, phase="TRAIN")
    seen = {tuple(run(net)[0][0, :, 0, 0].tolist()) for _ in range(12)}
    straight = {values for values in seen if values[1] - values[0] == 1}
    assert straight
    assert seen - straight
    for x, y, *_ in seen - straight:
        assert x == 255 - (y - 1)
    firsts = {values[1] // 10 for values in seen}
    assert len(firsts) > 2
    assert firsts <= {1, 2, 3, 4, 5}


def test_a_short_video_gives_its_first_frames_to_all_segments(tmp_path, segments):
    source = listed(tmp_path, f"{segments} 3 0")
    settings = f'source: "{source}" num_segments: 2 new_length: 2 name_pattern: "flow_%c_%04d.png"'
    data, _ = run(layer(f"video_data_param {{ {settings} }}"))
    assert data[0, :, 0, 0].tolist() == [10, 11, 20, 21] * 2


def test_a_clip_of_a_video_file(tmp_path, video):
    source = listed(tmp_path, f"{video} 5 1", f"{video} 0 2")
    settings = f'source: "{source}" new_length: 3 sampling_rate: 2 batch_size: 2'
    data, labels = run(layer(f"video_data_param {{ {settings} }}"))
    assert data.shape == (2, 3, 3, ROWS, COLUMNS)
    assert numbers(data) == [[6, 8, 10], [1, 3, 5]]
    assert labels.tolist() == [1, 2]


def test_random_clips_of_a_video_file(tmp_path, video):
    source = listed(tmp_path, *[f"{video} 1"] * 8)
    settings = f'source: "{source}" new_length: 3 batch_size: 8 use_temporal_jitter: true'
    found = numbers(run(layer(f"video_data_param {{ {settings} }}", phase="TRAIN"))[0])
    assert all(clip == list(range(clip[0], clip[0] + 3)) for clip in found)
    assert len({clip[0] for clip in found}) > 2


def test_frames_of_parts_of_batches(video):
    settings = f'video_data_param {{ video_type: VIDEO video_file: "{video}" skip_frames: 1 }}'

    def frames_net(batch_size, parts=WHOLE):
        rest = f"data_param {{ batch_size: {batch_size} }}"
        text = f'layer {{ name: "data" type: "VideoData" top: "data" {settings} {rest} }}'
        return Net(parse_net(text, "net.prototxt"), "TRAIN", seed=1, share=WorkShare(parts))

    whole = frames_net(4)
    nets = [frames_net(2, BatchParts(rank, 1, 2)) for rank in range(2)]
    for _ in range(5):  # of 6 frames
        for net in (whole, *nets):
            net.forward()
        found = np.concatenate([net.blobs["data"].data.get() for net in nets])
        np.testing.assert_array_equal(found, whole.blobs["data"].data.get())
        assert nets[0].state() == nets[1].state() == whole.state()


def test_frames_of_a_video_file_round_after_round(video):
    settings = f'video_data_param {{ video_type: VIDEO video_file: "{video}" skip_frames: 1 }}'
    net = layer(settings, "data_param { batch_size: 4 }")
    found = [numbers(run(net)[0]) for _ in range(3)]
    assert found == [[2, 4, 6, 8], [10, 12, 2, 4], [6, 8, 10, 12]]
    assert run(net)[1].tolist() == [0] * 4
    first = layer(settings, "data_param { batch_size: 4 }")
    run(first)
    resumed = layer(settings, "data_param { batch_size: 4 }")
    resumed.restore(json.loads(json.dumps(first.state())))
    assert numbers(run(resumed)[0]) == found[1]


@pytest.mark.parametrize(
    ("settings", "rest", "shape"),
    [
        ('source: "x" new_length: 8 new_height: 128 new_width: 171', "", (1, 3, 8, 128, 171)),
        ('source: "x" num_segments: 3 batch_size: 4', "crop_size: 64", (4, 6, 64, 64)),
        ('source: "x" modality: RGB new_length: 2', "crop_size: 64", (1, 6, 64, 64)),
        ("device_id: 0", "crop_size: 32", (5, 3, 32, 32)),
        ('source: "x"', "", ()),
    ],
)
def test_shapes_without_the_source(settings, rest, shape):
    param = text_format.Parse(
        f"data_param {{ batch_size: 5 }} video_data_param {{ {settings} }}"
        f" transform_param {{ {rest} }}",
        LayerParameter(type="VideoData"),
    )
    assert LAYERS["VideoData"].batch_shape(param, ()) == shape


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("video_type: VIDEO", r"video_file \} is missing"),
        ('video_file: "x.avi"', r"video_file needs video_type: VIDEO"),
        ('source: "x" use_multiple_label: true', r"use_multiple_label is not supported"),
        ('source: "x" use_sampling_rate_jitter: true', r"rate_jitter is not supported"),
        ('source: "x" new_height: 4', r"new_height: 4, new_width: 0; give both or neither"),
        ('source: "x" num_segments: 0', r"new_length and num_segments must be at least 1"),
        ('source: "x" sampling_rate: 0', r"new_length and sampling_rate must be at least 1"),
        ('source: "x" batch_size: 0', r"batch_size is 0"),
        ('source: "x" modality: RGB name_pattern: "a.jpg"', r"must have the number of the frame"),
        ('source: "x" name_pattern: "flow_%05d.jpg"', r"and the direction of flow once, %c"),
        ('source: "x" modality: RGB name_pattern: "%c_%d"', r"%05d and no other %"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    rest = "data_param { batch_size: 1 }"
    with pytest.raises(
        NetError, match=r'net\.prototxt:1, layer "data" \(VideoData\): .*' + message
    ):
        layer(f"video_data_param {{ {settings} }}", rest)


def test_what_is_wrong_with_a_list(tmp_path, folder):
    def refused(*lines, settings="use_image: true"):
        source = listed(tmp_path, *lines)
        with pytest.raises(NetError) as raised:
            layer(f'video_data_param {{ source: "{source}" new_length: 3 {settings} }}')
        return str(raised.value)

    assert "is path, first frame and label, separated by spaces" in refused(f"{folder} 1")
    assert "the list is empty" in refused("")
    missing = refused(f"{folder} 11 0")
    assert "list.txt:1: " in missing
    assert "000013.jpg: the image cannot be read" in missing
    assert "from 000011.jpg to 000013.jpg are needed" in missing
    jitter = "use_image: true use_temporal_jitter: true"
    assert "has 2 frames; new_length: 3" in refused(f"{folder} 2 0", settings=jitter)


def test_what_is_wrong_with_a_video(tmp_path, video):
    source = listed(tmp_path, f"{video} 11 0")
    with pytest.raises(NetError, match=r"list\.txt:1: .*ends before frame 14, counted from 1"):
        layer(f'video_data_param {{ source: "{source}" new_length: 3 }}')
    damaged = tmp_path / "damaged.avi"
    damaged.write_bytes(b"no video")
    for path in (damaged, tmp_path / "missing.avi"):
        source = listed(tmp_path, f"{path} 0 0")
        with pytest.raises(NetError, match=r"list\.txt:1: .*the video cannot be read"):
            layer(f'video_data_param {{ source: "{source}" }}')
    settings = f'video_data_param {{ video_type: VIDEO video_file: "{video}" skip_frames: 50 }}'
    with pytest.raises(NetError, match=r"no frame after the first 50"):
        layer(settings, "data_param { batch_size: 4 }")


def test_without_pyav_the_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    source = listed(tmp_path, "x.avi 0 0")
    with pytest.raises(NetError, match=r"pip install 'minicaffe\[video\]'"):
        layer(f'video_data_param {{ source: "{source}" }}')


def test_data_param_is_read_without_a_source_only():
    cls = LAYERS["VideoData"]
    param = LayerParameter(type="VideoData")
    param.data_param.batch_size = 3
    param.video_data_param.device_id = 1
    assert list(cls.unread_settings(param)) == []
    param.video_data_param.source = "list.txt"
    assert "data_param.batch_size has no effect" in next(iter(cls.unread_settings(param)))
