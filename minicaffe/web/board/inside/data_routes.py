"""Routes of the data of a run: counts of the classes, pages of records, a record by its key."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from minicaffe.data.class_names import ClassNames
from minicaffe.data.databases.sample import SampledImage
from minicaffe.data.databases.stored_record import parse_record
from minicaffe.data.db import open_any_database, printable
from minicaffe.errors import DataError
from minicaffe.pictures.database_sheet import record_pixels
from minicaffe.pictures.grid import tile_image
from minicaffe.web.application import json_response
from minicaffe.web.board.inside.database_scan import ScanShelf
from minicaffe.web.board.inside.run_data import RunDatabase, class_names_of, databases_of
from minicaffe.web.board.inside.run_parts import RunParts
from minicaffe.web.board.run_index import RunIndex

_PAGE = 48  # records
_THUMBNAIL_PX = 192


def data_routes(index: RunIndex) -> list[BaseRoute]:
    """Return the routes."""
    routes = _DataRoutes(index)
    return [
        Route("/data", routes.data),
        Route("/data/records", routes.records),
        Route("/data/image", routes.image),
    ]


class _DataRoutes:
    """Reads databases. Sync methods run in threads."""

    def __init__(self, index: RunIndex) -> None:
        self._index, self._scans = index, ScanShelf()

    def data(self, request: Request) -> Response:
        """Return the databases of a run, and the classes of the one of the query."""
        parts = RunParts(self._index, request.query_params)
        found = databases_of(parts)
        listed = [
            {"net": one.net, "layer": one.layer, "source": one.source, "is_there": bool(one.path)}
            for one in found
        ]
        wanted = request.query_params.get("source", "")
        if not wanted:
            return json_response({"databases": listed})
        path = _path(found, wanted)
        scan = self._scans.scan(path)
        # Asked first: what is read after a scan is complete has all records.
        is_complete = scan.is_complete
        counts = scan.class_counts()
        names = class_names_of(parts, scan.survey.n_with_boxes > 0)
        return json_response(
            {
                "databases": listed,
                "n_records": scan.n_records,
                "n_scanned": scan.n_scanned,
                "n_damaged": scan.n_damaged,
                "is_complete": is_complete,
                "problem": scan.problem,
                "remarks": scan.label_notes(),
                "has_boxes": scan.survey.n_with_boxes > 0,
                "classes": [
                    {"label": label, "name": names[label], "images": images, "boxes": boxes}
                    for label, (images, boxes) in counts.items()
                ],
            }
        )

    def records(self, request: Request) -> Response:
        """Return a page of records, all or of a class, or the record of a key."""
        query = request.query_params
        parts = RunParts(self._index, query)
        path = _path(databases_of(parts), query.get("source", ""))
        if "key" in query:
            keys, n = [_key(query["key"])], 1
        else:
            label, page = _number(query.get("class", ""), None), _number(query.get("page"), 0)
            known = self._scans.scan(path).keys(label)
            begin = (page or 0) * _PAGE
            keys, n = known[begin : begin + _PAGE], len(known)
        records = _read(path, keys, is_strict="key" in query)
        names = class_names_of(parts, any(one.objects is not None for one in records))
        listed = [_record_json(one, names) for one in records]
        return json_response({"n": n, "page_size": _PAGE, "records": listed})

    def image(self, request: Request) -> Response:
        """Return the image of a record with its boxes, small by default."""
        query = request.query_params
        path = _path(databases_of(RunParts(self._index, query)), query.get("source", ""))
        try:
            key = _key(query["key"]) if "key" in query else bytes.fromhex(query.get("id", ""))
        except ValueError as error:
            raise HTTPException(400, "id: must be the key in hexadecimal digits") from error
        (record,) = _read(path, [key], is_strict=True)
        image = _picture(record)
        if "full" not in query:
            image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
        content = io.BytesIO()
        image.save(content, "PNG")
        return Response(content.getvalue(), media_type="image/png")


def _key(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _number(text: str | None, default: int | None) -> int | None:
    try:
        return int(text) if text else default
    except ValueError as error:
        raise HTTPException(400, f"{text}: must be a number") from error


def _path(databases: list[RunDatabase], source: str) -> Path:
    for one in databases:
        if one.source == source:
            if one.path is None:
                raise HTTPException(404, f"{source}: not below the folder of this board")
            return one.path
    raise HTTPException(404, f"{source}: no database of this run")


def _read(path: Path, keys: list[bytes], *, is_strict: bool) -> list[SampledImage]:
    """Return records; damaged ones are left out, or an error if `is_strict`."""
    found: list[SampledImage] = []
    with open_any_database(str(path)) as database, closing(database.cursor()) as cursor:
        for key in keys:
            where = f"{path.name}, key {printable(key)}"
            try:
                cursor.seek(key)
            except DataError as error:
                raise HTTPException(404, f"{path.name}: no record with this key") from error
            try:
                record = parse_record(key, bytes(cursor.value), where)
                image = record.image.decode(None, where).copy()
            except DataError:
                if is_strict:
                    raise
                continue
            found.append(SampledImage(key, record.image.label, image, record.objects))
    return found


def _record_json(record: SampledImage, names: ClassNames) -> dict[str, object]:
    key = record.key.decode("utf-8", "backslashreplace")
    return {
        "id": record.key.hex(),
        "key": key,
        "classes": [names[label] for label in dict.fromkeys(record.labels)],
        "n_boxes": None if record.objects is None else len(record.objects),
        "shape": record.image.shape,
    }


def _picture(record: SampledImage) -> Image.Image:
    pixels = record_pixels(record)
    return tile_image(np.ascontiguousarray(pixels))
