"""The readers of files that a stranger may have written, each with a valid example.

To add one, append to `READERS`: a name, the files of a valid example by their path in a new folder, and a function that
reads this folder. The photo ``data/cat/a.png`` and the data set `DATASET` are there for all of them.
"""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import av
import numpy as np
import onnx
import pyarrow
import safetensors.torch
import torch
from onnx import helper
from PIL import Image
from pyarrow import parquet

from coarse2fine.app.photo_list import PhotoFilter, PhotoList
from coarse2fine.coarse.student import Student
from coarse2fine.config import (
    FitConfig,
    NetworkConfig,
    PredictCrfConfig,
    StudentNetworkConfig,
    dump_config,
    load_config,
)
from coarse2fine.corrections import import_corrections
from coarse2fine.corrections.review import Review, apply_review_decisions
from coarse2fine.data import open_dataset
from coarse2fine.data.archives import find_archives, unpack_photos
from coarse2fine.data.manifest import read_manifest
from coarse2fine.data.photos import read_header, read_image
from coarse2fine.data.video_decoding import decode_until_damage, read_frame_rate
from coarse2fine.data.videos import estimate_frame_count, find_videos
from coarse2fine.evaluation.quality_table import COLUMNS
from coarse2fine.export import export_masks
from coarse2fine.inference.load import load_model
from coarse2fine.inference.onnx_segmenter import INPUT, OUTPUT
from coarse2fine.inference.segmenter import SIDE_STEP_PX
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.masks.png import encode_mask
from coarse2fine.masks.run_length import encode_brush
from coarse2fine.networks.build import build_network
from coarse2fine.networks.student import build_student
from coarse2fine.networks.weights import load_weights, read_weights
from coarse2fine.report.model_card import make_model_card
from coarse2fine.report.page import write_report
from coarse2fine.runtime.console import Console
from coarse2fine.store.photos import read_photos
from coarse2fine.store.run import Run
from coarse2fine.types import Dataset, Photo

HEIGHT, WIDTH = 12, 17
PHOTO_FILE = "data/cat/a.png"

_CLASSES = ("background", "cat", "dog")
_QUIET = Console(quiet=True)
_MASK = np.eye(HEIGHT, WIDTH, dtype=np.uint8)


class Reader(NamedTuple):
    """A reader of files.

    Attributes:
        name: What it reads.
        files: Content of each file of a valid example, by path. These are edited.
        read: Reads them from a folder.
    """

    name: str
    files: dict[str, bytes]
    read: Callable[[Path], object]


def encode_photo(kind: str) -> bytes:
    """Encode a small photo with noise in an image format of Pillow."""
    encoded = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(encoded, format=kind)
    return encoded.getvalue()


def dataset_in(folder: Path) -> Dataset:
    """Return the data set of one photo that all readers may use."""
    return Dataset(_CLASSES, (Photo(folder / PHOTO_FILE, "cat/a", (1,)),))


def _label_studio_export() -> bytes:
    size = {"original_height": HEIGHT, "original_width": WIDTH}
    brush = {"format": "rle", "rle": encode_brush(_MASK), "brushlabels": ["cat"]}
    polygon = {"points": [[0, 0], [50, 0], [50, 99.5]], "polygonlabels": ["dog"]}
    regions = [{"type": "brushlabels", "value": brush} | size, {"type": "polygonlabels", "value": polygon} | size]
    times = ("2024-05-02T00:00:00.5Z", "2024-05-01T00:00:00Z")
    annotations = [{"result": regions, "updated_at": time, "was_cancelled": False} for time in times]
    tasks = [{"id": 1, "data": {"photo": name, "image": "x"}, "annotations": annotations} for name in ("cat/a", "z/z")]
    return json.dumps(tasks).encode()


def _cvat_export() -> bytes:
    inner = (
        '<mask label="cat" rle="0, 3, 1" left="2" top="3" width="2" height="2" z_order="1"/>'
        '<polygon label="dog" points="0.0,0.0;9.5,0.0;9.5,7.25" z_order="0"><attribute name="a">1</attribute></polygon>'
    )
    images = "".join(
        f'<image id="0" name="{n}.png" width="{WIDTH}" height="{HEIGHT}">{inner}</image>' for n in ("a", "z")
    )
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{images}</annotations>'.encode()


def _zip(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()


def _tar(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def _parquet_with_photos() -> bytes:
    """Return a table as ``datasets`` writes it, with the names of the classes in the metadata."""
    columns = {"image": [{"bytes": encode_photo("PNG"), "path": "a.png"}] * 2, "label": [0, 1]}
    feature = {"names": ["cat", "dog"], "_type": "ClassLabel"}
    metadata = json.dumps({"info": {"features": {"image": {"_type": "Image"}, "label": feature}}})
    encoded = io.BytesIO()
    parquet.write_table(pyarrow.table(columns).replace_schema_metadata({"huggingface": metadata}), encoded)
    return encoded.getvalue()


def _archive_files() -> dict[str, bytes]:
    photo = encode_photo("PNG")
    return {
        "photos.zip": _zip({"pets/cat/a.png": photo, "pets/dog/b.png": photo}),
        "photos.tar": _tar({"pets/cat/a.png": photo, "pets/dog/b.png": photo}),
        "shard.tar": _tar({"0.png": photo, "0.cls": b"cat", "./1.png": photo, "./1.cls": b"dog"}),
        "photos.parquet": _parquet_with_photos(),
    }


def _unpack(name: str, folder: Path) -> None:
    open_dataset(unpack_photos(find_archives(folder / name) or [folder / name], folder / "unpacked", _QUIET))


def _import(name: str) -> Callable[[Path], None]:
    return lambda folder: import_corrections(folder / name, dataset_in(folder), folder / "corrected", _QUIET)


def _review(folder: Path) -> None:
    Review(folder / "review")
    apply_review_decisions(folder / "review", dataset_in(folder).photos, folder / "corrected", _QUIET)


def _review_files() -> dict[str, bytes]:
    decision = {"decision": "accepted", "stage": "round-1", "time": "2024-05-01T00:00:00+00:00"}
    unfinished = {"name": "dog/b", "decision": decision | {"decision": "fixed"}, "mask": "aGVsbG8="}
    applied = {"masks": {"cat/a": "0123456789abcdef", "cat/z": "0123456789abcdef"}, "rejected": ["dog/c"]}
    return {
        "review/decisions.json": json.dumps({"cat/a": decision, "dog/c": decision | {"decision": "rejected"}}).encode(),
        "review/unfinished.json": json.dumps(unfinished).encode(),
        "review/masks/cat/a.png": encode_mask(_MASK),
        "corrected/review.json": json.dumps(applied).encode(),
        "corrected/cat/z.png": encode_mask(_MASK),
    }


def _read_photo(kind: str, folder: Path) -> None:
    read_header(folder / f"photo.{kind}")
    read_image(folder / f"photo.{kind}", max_megapixels=1)


def _encode_video(kind: str, codec: str) -> bytes:
    """Encode three small frames in a container of FFmpeg."""
    encoded = io.BytesIO()
    with av.open(encoded, "w", format=kind) as container:
        container.metadata["title"] = "title"
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return encoded.getvalue()


def _read_video(name: str, folder: Path) -> None:
    (video,) = find_videos([folder / name])
    estimate_frame_count(video)
    read_frame_rate(video.path)
    for _frame in decode_until_damage(video.path, every=1, at_least=1, max_megapixels=1):
        pass


def _parquet_table() -> bytes:
    encoded = io.BytesIO()
    parquet.write_table(pyarrow.table({"path": ["data/cat/a.png", "data/z.png"], "label": ["cat", "cat|dog"]}), encoded)
    return encoded.getvalue()


def _model_files() -> dict[str, bytes]:
    """Return a model whose network is the smallest that timm has."""
    config = NetworkConfig(encoder="test_efficientnet", encoder_weights="none", decoder_channels=1)
    model = TorchSegmenter(build_network(config, len(_CLASSES)), _CLASSES, config, size_px=32)
    with TemporaryDirectory() as folder:
        model.save(Path(folder))
        return {f"model/{path.name}": path.read_bytes() for path in Path(folder).iterdir()}


def _student() -> bytes:
    config = StudentNetworkConfig(width=0.1)
    with TemporaryDirectory() as folder:
        Student(build_student(config), config).save(Path(folder, "student"))
        return Path(folder, "student").read_bytes()


def _weights() -> bytes:
    return safetensors.torch.save(torch.nn.Linear(3, 2).state_dict())


def _read_weights(folder: Path) -> None:
    load_weights(torch.nn.Linear(3, 2), folder / "network.safetensors")
    read_weights(folder / "network.safetensors")


def _onnx_network() -> bytes:
    """Return a network that mixes the colors of each pixel."""
    kinds = onnx.TensorProto
    weights = helper.make_tensor("weights", kinds.FLOAT, (len(_CLASSES), 3, 1, 1), np.eye(3).ravel())
    nodes = [
        helper.make_node("Cast", [INPUT], ["floats"], to=kinds.FLOAT),
        helper.make_node("Transpose", ["floats"], ["channels"], perm=(0, 3, 1, 2)),
        helper.make_node("Conv", ["channels", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], [OUTPUT], axis=1),
    ]
    images = helper.make_tensor_value_info(INPUT, kinds.UINT8, ("n", "h", "w", 3))
    probabilities = helper.make_tensor_value_info(OUTPUT, kinds.FLOAT, ("n", len(_CLASSES), "h", "w"))
    graph = helper.make_graph(nodes, "network", [images], [probabilities], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    sizes = {"size_px": 32, "side_step_px": SIDE_STEP_PX, "scales": [1.0, 0.5]}
    settings = {"classes": _CLASSES, "flip": True, "foreground_first": True} | sizes
    entries = {name: json.dumps(value) for name, value in settings.items()}
    helper.set_model_props(model, entries | {"crf": PredictCrfConfig().model_dump_json()})
    return bytes(model.SerializeToString())


def _load(name: str, folder: Path) -> None:
    load_model(folder / name, "cpu", threads=1)


def _table(name: str, folder: Path) -> None:
    read_manifest(folder / name)


def _label_files() -> dict[str, bytes]:
    coco = {
        "images": [{"id": 1, "file_name": "data/cat/a.png"}],
        "annotations": [{"image_id": 1, "category_id": 2}],
        "categories": [{"id": 2, "name": "cat"}],
    }
    line = {"file_name": "data/cat/a.png", "label": ["cat", "dog"]}
    fiftyone = {"classes": ["cat"], "labels": {"cat/a": 0}}
    values = {"coco.json": coco, "lines.jsonl": line, "labels.json": fiftyone}
    return {name: json.dumps(value).encode() for name, value in values.items()}


def _label_json(name: str, folder: Path) -> None:
    read_manifest(folder / name)


def _prediction_files() -> dict[str, bytes]:
    return {
        "found/photos.json": json.dumps({"cat/a": "/nowhere/cat/a.png"}).encode(),
        "found/classes.json": b'["background", "cat", "dog"]',
        "found/origin.json": json.dumps({"folder": "/nowhere", "photos": {"cat/a": "1 2"}}).encode(),
        "found/found.csv": b"photo,class,share_of_pixels\r\ncat/a,cat,0.1\r\n",
        "found/quality.csv": b"photo,score\r\ncat/a,0.5\r\n",
        "found/masks/cat/a.png": encode_mask(_MASK),
    }


def _export_predictions(folder: Path) -> None:
    for kind in ("voc", "labelstudio"):
        export_masks(folder / "found", folder / kind, kind, photos=[folder / "data"])


def _run_files() -> dict[str, bytes]:
    size = len(encode_photo("PNG"))
    record = {"data": "/nowhere", "data_from_run": "../data", "classes": ["background", "cat"], "skipped": {}}
    done = json.dumps({"key": "k", "settings": {"a": 1}, "inputs": ["k"], "seconds": 1.5, "photos": 1}).encode()
    quality = "cat/a,cat,0.5,0.5,,1.0,,0.25,1,0.0,0.5,0.5"
    return {
        "run/photos.json": json.dumps(record | {"usable": {"cat/a": f"{size} 1"}}).encode(),
        "run/classes.json": b'["background", "cat"]',
        "run/config.toml": dump_config(FitConfig(rounds=1)).encode(),
        "run/filter.json": b'{"cat/a": null}',
        "run/metrics.json": b'{"key": "k", "round": 0, "left_out": 0}',
        "run/round-1/metrics.json": b'{"key": "k", "round": 1, "left_out": 0}',
        "run/round-1/filter.json": b'{"cat/a": null}',
        "run/round-1/enhanced/notes.json": b'{"cat/a": "unchanged"}',
        "run/round-1/quality/quality.csv": f"{','.join(COLUMNS)}\r\n{quality}\r\n".encode(),
        **{f"run/{stage}/done.json": done for stage in ("coarse", "enhanced", "round-1/enhanced", "round-1/quality")},
        **{f"run/{stage}/cat/a.png": encode_mask(_MASK) for stage in ("coarse", "enhanced", "round-1/enhanced")},
    }


def _run(folder: Path) -> None:
    run = Run(folder / "run")
    dataset = read_photos(run)
    photo_list = PhotoList(run, dataset, Review(run.review))
    photo_list.list_page(PhotoFilter(), 1)
    for photo in dataset.photos:
        photo_list.describe(photo, PhotoFilter())
    write_report(run, dataset, folder / "report.html", threads=1)
    export_masks(run.root, folder / "coco", "coco")


def _card_files() -> dict[str, bytes]:
    names = ("run/photos.json", "run/config.toml", "run/metrics.json", "run/round-1/metrics.json")
    figures = {"photos": 3, "mean_iou": 0.5, "iou": {"background": 0.9, "cat": 0.1, "dog": None}}
    return {
        **{name: _run_files()[name] for name in names},
        **{f"run/{name}": content for name, content in _model_files().items()},
        "run/quality-classes.csv": b"class,photos,mean_score,score_std\r\ncat,1,0.5,0.1\r\n",
        "run/evaluation/metrics.json": json.dumps(figures).encode(),
    }


READERS = [
    Reader("Label Studio", {"export.json": _label_studio_export()}, _import("export.json")),
    Reader("CVAT", {"annotations.xml": _cvat_export()}, _import("annotations.xml")),
    Reader("CVAT zip", {"export.zip": _zip({"annotations.xml": _cvat_export()})}, _import("export.zip")),
    Reader(
        "folder of masks",
        {"given/cat/a.png": encode_mask(_MASK), "given/classes.json": b'["background", "cat", "dog"]'},
        _import("given"),
    ),
    Reader("review", _review_files(), _review),
    *(
        Reader(f"photo {kind}", {f"photo.{kind}": encode_photo(kind)}, partial(_read_photo, kind))
        for kind in ("jpeg", "png", "webp", "bmp", "tiff", "gif")
    ),
    *(
        Reader(f"video {kind}", {f"a.{kind}": _encode_video(kind, codec)}, partial(_read_video, f"a.{kind}"))
        for kind, codec in (("mp4", "mpeg4"), ("matroska", "libx264"), ("avi", "mpeg4"), ("mpeg", "mpeg1video"))
    ),
    Reader(
        "table of photos",
        {"table.csv": b"path,label\r\ndata/cat/a.png,cat\r\ndata/z.png,cat|dog\r\n"},
        partial(_table, "table.csv"),
    ),
    Reader("Parquet table", {"table.parquet": _parquet_table()}, partial(_table, "table.parquet")),
    *(Reader(name, {name: content}, partial(_label_json, name)) for name, content in _label_files().items()),
    *(Reader(name, {name: content}, partial(_unpack, name)) for name, content in _archive_files().items()),
    Reader(
        "settings",
        {"config.toml": b'rounds = 2\nseed = 3\n[refine]\nthreshold = 0.5\n[coarse]\nmethod = "box"\n'},
        lambda folder: load_config(folder / "config.toml"),
    ),
    Reader("model", _model_files(), partial(_load, "model")),
    Reader("weights", {"network.safetensors": _weights()}, _read_weights),
    Reader("student", {"s.safetensors": _student()}, lambda folder: Student.load(folder / "s.safetensors")),
    Reader("ONNX file", {"network.onnx": _onnx_network()}, partial(_load, "network.onnx")),
    Reader("predictions", _prediction_files(), _export_predictions),
    Reader("run folder", _run_files(), _run),
    Reader("model card", _card_files(), lambda folder: make_model_card(folder / "run")),
]
