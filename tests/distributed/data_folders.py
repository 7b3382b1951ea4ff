"""Data for each kind of source, and the layers that read them."""

from __future__ import annotations

import struct

import h5py
import numpy as np

from minicaffe.data.annotations.annotated_datum import encode_annotated_datum
from minicaffe.data.annotations.object_box import ObjectBox
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.data.image import encode_image

N = 13  # images; batches of 8 cross the end of a round
CROP = "transform_param { crop_size: 9 mirror: true scale: 0.5 }"
XML = """<annotation><size><width>{w}</width><height>{h}</height></size>
<object><name>cat</name><difficult>0</difficult><bndbox>
<xmin>2</xmin><ymin>3</ymin><xmax>{x}</xmax><ymax>9</ymax></bndbox></object></annotation>"""


def images():
    """Images of different sizes: draws must not depend on those of other rows."""
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (3, 9 + k % 5, 14 - k % 4), np.uint8) for k in range(N)]


def write_images(folder):
    for k, image in enumerate(images()):
        (folder / f"{k}.png").write_bytes(encode_image(image, "png"))
        labels = np.full((1, *image.shape[1:]), k, np.uint8)
        (folder / f"labels{k}.png").write_bytes(encode_image(labels, "png"))
    (folder / "list.txt").write_text("".join(f"{k}.png {k}\n" for k in range(N)))
    (folder / "maps.txt").write_text("".join(f"{k}.png labels{k}.png\n" for k in range(N)))
    lines = []
    for k, (_, rows, columns) in enumerate(image.shape for image in images()):
        lines += [f"# {k}", f"{k}.png", 3, rows, columns, 2, f"{k % 3 + 1} 0.9 1 2 7 8"]
        lines += ["0 0.1 0 0 6 6"]
    (folder / "windows.txt").write_text("\n".join(map(str, lines)))
    lines = []
    for k, (_, rows, columns) in enumerate(image.shape for image in images()):
        lines += [f"# {k}", f"{k}.png", 3, rows, columns, k % 2]
        lines += [f"1 0 1 1 {6 + k % 3} 8"] * (k % 2) + [0]
    (folder / "fields.txt").write_text("\n".join(map(str, lines)) + "\n")


def write_small_database(shape):
    """Write an LMDB "lmdb" of eleven images of a shape, (channels, rows, columns), in 5 classes."""
    rng = np.random.default_rng(5)
    with create_database("lmdb", "LMDB") as database:
        for k in range(11):
            database.put(b"%08d" % k, encode_datum(rng.integers(0, 256, shape, np.uint8), k % 5))


def write_databases(folder):
    with create_database(str(folder / "db"), "LMDB") as database:
        for k, image in enumerate(images()):
            database.put(b"%03d" % k, encode_datum(image, k))
    with create_database(str(folder / "boxes"), "LMDB") as database:
        for k, image in enumerate(images()):
            boxes = [ObjectBox(1 + j, (0.1, 0.2, 0.5 + 0.1 * j, 0.9)) for j in range(k % 3)]
            database.put(b"%03d" % k, encode_annotated_datum(encode_datum(image, -1), boxes))


def write_arrays(folder):
    rows = np.arange(N, dtype=np.float32)
    for k, part in enumerate(np.split(rows, [5, 7])):
        with h5py.File(folder / f"{k}.h5", "w") as file:
            file["data"], file["label"] = np.stack([part, -part], 1), part
    (folder / "files.txt").write_text("".join(f"{folder}/{k}.h5\n" for k in range(3)))
    rng = np.random.default_rng(3)
    for k in range(N):
        values = rng.integers(0, 9, (4, 2, 10, 12))
        content = struct.pack("<5i", 1, *values.shape) + values.astype("<f4").tobytes()
        (folder / f"{k}.voxels").write_bytes(content)
    (folder / "clips.txt").write_text("".join(f"{folder}/{k}.voxels\n" for k in range(N)))


def write_videos(folder):
    for k in range(5):
        (folder / f"video{k}").mkdir()
        for number in range(1, 10):
            image = np.full((3, 11, 13), 20 * k + number, np.uint8)
            name = folder / f"video{k}" / f"{number:06d}.jpg"
            name.write_bytes(encode_image(image, "jpg"))
    (folder / "videos.txt").write_text("".join(f"video{k} 9 {k}\n" for k in range(5)))


def write_voc(folder):
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / "voc" / part).mkdir(parents=True)
    for k, image in enumerate(images()[:5]):
        _, h, w = image.shape
        (folder / "voc/JPEGImages" / f"{k}.png").write_bytes(encode_image(image, "png"))
        text = XML.format(w=w, h=h, x=6 + k)
        (folder / "voc/Annotations" / f"{k}.xml").write_text(text)
    (folder / "voc/ImageSets/Main/trainval.txt").write_text("0\n1\n2\n3\n4\n")


def make_folder(folder):
    """Write the data that `LAYERS` read into a folder."""
    for write in (write_images, write_databases, write_arrays, write_videos, write_voc):
        write(folder)


RANDOM_BOXES = """
transform_param { mirror: true crop_size: 16
  resize_param { prob: 0.5 height: 20 width: 24 } resize_param { prob: 0.5 height: 18 width: 18 }
  distort_param { brightness_prob: 0.5 brightness_delta: 32 }
  expand_param { prob: 0.5 max_expand_ratio: 2 } }
annotated_data_param { batch_sampler { max_sample: 1 max_trials: 1 }
  batch_sampler { sampler { min_scale: 0.3 } max_sample: 1 max_trials: 20 } """
DATA = 'type: "Data" data_param { source: "F/db" batch_size: SIZE backend: LMDB'
LIST = 'source: "F/list.txt" root_folder: "F/" batch_size: SIZE'
MAPS = 'source: "F/maps.txt" root_folder: "F/" batch_size: SIZE'
CLIPS = 'source: "F/clips.txt" batch_size: SIZE'
VIDEOS = 'source: "F/videos.txt" root_folder: "F/" batch_size: SIZE'
FILES = 'type: "HDF5Data" hdf5_data_param { source: "F/files.txt" batch_size: SIZE'
# F stands for the folder, SIZE for the batch size.
LAYERS = {
    "data": f"{DATA} }} {CROP}",
    "data rand_skip": f"{DATA} rand_skip: 7 }} {CROP}",
    "data shuffle": f"{DATA} shuffle: true }} {CROP}",
    "data prefetch": f"{DATA} prefetch: 1 }} {CROP}",
    "data augmented": f"{DATA} }} transform_param {{ crop_size: 8 random_resized_crop {{ }} "
    "cutout { probability: 0.5 } }",
    "images": f'type: "ImageData" image_data_param {{ {LIST} }} {CROP}',
    "images shuffle": f'type: "ImageData" image_data_param {{ {LIST} shuffle: true rand_skip: 5 }} '
    f"{CROP}",
    "windows": 'type: "WindowData" window_data_param { source: "F/windows.txt" root_folder: "F/" '
    "batch_size: SIZE fg_fraction: 0.3 } transform_param { crop_size: 7 mirror: true }",
    "rows": f"{FILES} }}",
    "rows shuffle": f"{FILES} shuffle: true }}",
    "label maps": f'type: "DenseImageData" dense_image_data_param {{ {MAPS} shuffle: true }} '
    "transform_param { crop_size: 12 mirror: true }",
    "image seg": f'type: "ImageSegData" image_data_param {{ {MAPS} label_type: PIXEL }} '
    "transform_param { crop_size: 10 mirror: true scale_factors: 0.8 scale_factors: 1.5 }",
    "voxels": f'type: "VideoWithVoxelTruthData" image_data_param {{ {CLIPS} num_truth_channels: 1 '
    "crop_size: 7 mirror: true shuffle: true rand_skip: 3 }",
    "clips": f'type: "VideoData" video_data_param {{ {VIDEOS} new_length: 2 use_image: true '
    "use_temporal_jitter: true shuffle: true } transform_param { crop_size: 8 }",
    "segments": f'type: "VideoData" video_data_param {{ {VIDEOS} num_segments: 2 new_length: 1 '
    'modality: RGB name_pattern: "%06d.jpg" } transform_param { mirror: true crop_size: 9 }',
    "boxes": 'type: "AnnotatedData" data_param { source: "F/boxes" batch_size: SIZE backend: LMDB '
    f"}} {RANDOM_BOXES} yolo_data_type: 1 }}",
}
# The rows of these name the image in the batch.
BOXES = {
    "ssd boxes": 'type: "AnnotatedData" data_param { source: "F/boxes" batch_size: SIZE shuffle: '
    f"true rand_skip: 5 backend: LMDB }} {RANDOM_BOXES} }}",
    "fields": 'top: "boxes" type: "ImageGtData" image_gt_data_param { source: "F/fields.txt" '
    'root_folder: "F/" batch_size: SIZE output_gt_boxes: true downsample_rate: 4 field_h: 8 '
    "field_w: 6 crop_height: 10 crop_width: 10 shuffle: true } transform_param { mirror: true }",
}
VOC = (
    'top: "boxes" type: "Python" python_param { module: "roi_data_layer.layer" '
    "layer: \"RoIDataLayer\" param_str: \"'num_classes': 2\\n'classes': 'cat'\\n"
    "'scales': [20, 30]\\n'max_size': 60\\n'source': 'F/voc'\" }"
)


def layer_text(settings, folder, size):
    """Return a net of one layer."""
    text = settings.replace("F/", f"{folder}/").replace("SIZE", str(size))
    return f'layer {{ name: "data" top: "data" top: "label" {text} }}'
