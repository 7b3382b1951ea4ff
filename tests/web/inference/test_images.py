"""Routes that take images, and DeepDetect's form."""

import base64
import io
import zlib

import numpy as np
import pytest
from PIL import Image

from image_nets import picture

BOUNDARY = "xyz"


def form(*files):
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
        f"Content-Type: image/png\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


def text(content):
    return base64.b64encode(content).decode()


def test_a_form_base64_and_a_file_give_the_same_classes(service):
    images = [picture(seed=k) for k in range(3)]
    path = "/v2/models/classes/classify?top=3"
    by_form = service.post(
        path, form(*((f"{k}.png", one) for k, one in enumerate(images))), content_type=MULTIPART
    ).json()["predictions"]
    assert [one["name"] for one in by_form] == ["0.png", "1.png", "2.png"]
    assert {one["class"] for one in by_form[0]["classes"]} == {"ant", "bee", "cat"}
    by_json = service.post(path, {"images": [text(one) for one in images]}).json()["predictions"]
    url = "data:image/png;base64," + text(images[0])
    by_url = service.post(path, {"images": [url]}).json()["predictions"]
    by_file = [service.post(path, one).json()["predictions"][0] for one in images]
    for found in (by_json, by_file):
        for one, other in zip(by_form, found, strict=True):
            for a, b in zip(one["classes"], other["classes"], strict=True):
                assert (a["label"], a["score"]) == (b["label"], pytest.approx(b["score"], rel=1e-5))
    assert by_url[0]["classes"][0]["label"] == by_form[0]["classes"][0]["label"]


def test_objects(service):
    answer = service.post("/v2/models/objects/detect?min_score=0.1", picture(40, 50)).json()
    (found,) = answer["predictions"][0]["objects"]
    assert found["class"] == "class 1"
    np.testing.assert_allclose(found["box"], [12.5, 10, 37.5, 30], rtol=1e-4)
    none = service.post("/v2/models/objects/detect?min_score=1.1", picture(40, 50)).json()
    assert none["predictions"][0]["objects"] == []


def test_a_mask_is_an_image_of_the_size_of_the_image(service):
    path = "/v2/models/pixels/segment"
    (found,) = service.post(path, picture(12, 18)).json()["predictions"]
    mask = base64.b64decode(found["mask"])
    with Image.open(io.BytesIO(mask)) as image:
        assert (image.mode, image.size) == ("P", (18, 12))
        labels, counts = np.unique(np.asarray(image), return_counts=True)
    names = ("ant", "bee", "cat")
    assert found["classes"] == [
        {"label": k, "class": names[k], "pixels": n}
        for k, n in zip(labels.tolist(), counts.tolist(), strict=True)
    ]
    alone = service.post(path, picture(12, 18), accept="image/png")
    assert (alone.headers["content-type"], alone.content) == ("image/png", mask)


def bomb(side):
    """Return a PNG file of some kilobytes with many pixels."""

    def chunk(kind, data):
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = side.to_bytes(4) * 2 + b"\x08\0\0\0\0"
    rows = zlib.compress(bytes(1 << 22))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("path", "body", "kind", "message"),
    [
        ("classes/classify", b"no image", "image/png", "image: not an image that can be decoded"),
        ("classes/classify", b"", "image/png", "no image: send a form"),
        ("classes/classify", bomb(10**4), "image/png", "has 10000 x 10000 pixels; at most"),
        ("classes/classify", bomb(10**5), "image/png", "image: too many pixels"),
        ("classes/classify", form(), MULTIPART, "0 images; a request has between 1 and 64"),
        ("classes/classify", b"--x", MULTIPART, "0 images"),
        ("classes/classify", b"", "multipart/form-data", "Missing boundary"),
        ("classes/classify", b'{"image": "x"}', "application/json", '{"images": [BASE64, ...]}'),
        ("classes/classify", b'{"images": [3]}', "application/json", "strings in base64"),
        ("classes/classify", b'{"images": ["*"]}', "application/json", "images[0]: no base64"),
        ("classes/classify?top=0", picture(), "image/png", "top=0: must be a number of classes"),
        ("classes/classify?tip=1", picture(), "image/png", "no option 'tip' of /classify"),
        ("classes/detect", picture(), "image/png", "use its route /classify"),
        ("objects/detect?min_score=a", picture(), "image/png", "min_score=a: must be a number"),
    ],
)
def test_wrong_images(service, path, body, kind, message):
    answer = service.post(f"/v2/models/{path}", body, content_type=kind)
    assert answer.status == 400
    assert message in answer.json()["error"]


def test_a_broken_image_is_named(service):
    body = form(("good.png", picture()), ("bad.png", b"x"))
    answer = service.post("/v2/models/classes/classify", body, content_type=MULTIPART)
    assert answer.status == 400
    assert answer.json()["error"].startswith("bad.png: not an image")


def predict(service, name, *data, **output):
    body = {
        "service": name,
        "parameters": {"input": {"width": 9}, "mllib": {"gpu": True}, "output": output},
        "data": list(data),
    }
    return service.post("/predict", body)


def test_deepdetects_classes_are_those_of_the_image_route(service):
    (service.folder / "image.png").write_bytes(picture(seed=1))
    answer = predict(service, "classes", text(picture(seed=2)), "image.png", best=2)
    assert answer.status == 200
    found = answer.json()
    assert found["status"] == {"code": 200, "msg": "OK"}
    assert (found["head"]["method"], found["head"]["service"]) == ("/predict", "classes")
    predictions = found["body"]["predictions"]
    assert [one["uri"] for one in predictions] == ["data[0]", "image.png"]
    for seed, one in zip((2, 1), predictions, strict=True):
        path = "/v2/models/classes/classify?top=2"
        expected = service.post(path, picture(seed=seed)).json()["predictions"][0]["classes"]
        assert [k["cat"] for k in one["classes"]] == [k["class"] for k in expected]
        np.testing.assert_allclose(
            [k["prob"] for k in one["classes"]], [k["score"] for k in expected], rtol=1e-5
        )
        assert [k.get("last") for k in one["classes"]] == [None, True]


def test_deepdetects_boxes_have_ymin_below_ymax(service):
    data = text(picture(40, 50))
    found = predict(service, "objects", data, bbox=True, confidence_threshold=0.1).json()
    (one,) = found["body"]["predictions"][0]["classes"]
    assert one["cat"] == "class 1"
    sides = {"xmin": 12.5, "ymax": 10, "xmax": 37.5, "ymin": 30}
    assert one["bbox"] == {key: pytest.approx(side, rel=1e-4) for key, side in sides.items()}


def test_deepdetects_services(service):
    names = [one["name"] for one in service.get("/info").json()["head"]["services"]]
    assert "classes" in names
    about = service.get("/services/classes").json()
    assert about["body"]["mllib"] == "caffe"
    model = {"mllib": "caffe", "model": {"repository": ".", "weights": "classes.caffemodel"}}
    assert service.request("PUT", "/services/dd", model).status == 400  # two nets fit
    (service.folder / "one").mkdir()
    for name in ("classes.caffemodel", "classes.prototxt"):
        (service.folder / "one" / name).write_bytes((service.folder / name).read_bytes())
    model["model"]["repository"] = "one"
    created = service.request("PUT", "/services/dd", model)
    assert (created.status, created.json()) == (201, {"status": {"code": 201, "msg": "Created"}})
    assert predict(service, "dd", text(picture())).status == 200
    assert service.request("DELETE", "/services/dd?clear=full").status == 400
    assert service.request("DELETE", "/services/dd").json()["status"]["code"] == 200
    assert service.get("/services/dd").status == 404


@pytest.mark.parametrize(
    ("name", "data", "status", "dd_code", "message"),
    [
        ("nix", ["x"], 404, 1002, 'no model "nix"'),
        ("classes", [], 400, 1005, '"data" must be an array'),
        ("classes", ["http://127.0.0.1/"], 400, 1005, "addresses are not fetched"),
        ("classes", ["../secret.png"], 400, 1005, "neither an image in base64 nor a file below"),
        ("classes", ["/etc/passwd"], 400, 1005, "data[0]: "),
        ("pixels", [text(picture())], 400, 1005, "nets that classify or find objects"),
    ],
)
def test_deepdetects_errors(service, name, data, status, dd_code, message):
    answer = predict(service, name, *data)
    assert answer.status == status
    found = answer.json()["status"]
    assert (found["code"], found["dd_code"]) == (status, dd_code)
    assert message in found["dd_msg"]


def test_metrics_and_description(service):
    service.post("/v2/models/classes/classify", picture())
    labels = 'model="classes",version="1"'
    assert service.metric(f'minicaffe_requests_total{{{labels},outcome="ok"}}') > 0
    assert service.metric(f"minicaffe_batch_samples_count{{{labels}}}") > 0
    assert service.get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")
    document = service.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    schemas = set(document["components"]["schemas"])
    used = {part.removeprefix("#/components/schemas/") for part in _references(document)}
    assert used == schemas
    names = [
        operation["operationId"]
        for path in document["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    ]
    assert len(names) == len(set(names)) > 20


def _references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)
