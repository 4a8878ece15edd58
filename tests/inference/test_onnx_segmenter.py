import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from coarse2fine.cli import main
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.inference.load import is_model, load_model
from coarse2fine.inference.onnx_segmenter import OnnxSegmenter, to_metadata
from coarse2fine.masks.png import read_mask, write_mask
from coarse2fine.runtime.files import read_json

WITHOUT_TORCH = """
import sys
class NotHere:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "lightning", "timm", "segmentation_models_pytorch", "numba"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NotHere)
from coarse2fine.cli import main
main(sys.argv[1:])
"""


def call_without_torch(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def masks_below(folder: Path) -> dict[str, np.ndarray]:
    return {path.relative_to(folder).as_posix(): read_mask(path) for path in folder.rglob("*.png")}


@pytest.mark.slow
def test_predict__without_torch_the_same_masks(small_run, small_onnx, cloud_folder, tmp_path):
    shown = call_without_torch(
        "predict", small_onnx, cloud_folder, "--out", tmp_path / "a", "--probabilities", "--threads", 1
    )
    assert shown.returncode == 0, shown.stderr
    assert "skipped" in shown.stderr and "broken.jpg: not an image" in shown.stderr
    main(
        [
            "predict",
            str(small_run),
            str(cloud_folder),
            "--out",
            str(tmp_path / "b"),
            "--probabilities",
            "--device",
            "cpu",
        ]
    )
    ours, theirs = masks_below(tmp_path / "b" / "masks"), masks_below(tmp_path / "a" / "masks")
    assert sorted(ours) == sorted(theirs) and len(ours) == 5
    assert all((ours[name] == theirs[name]).all() for name in ours)
    assert any(len(np.unique(mask)) > 1 for mask in ours.values())
    for name in ("found.csv", "classes.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.slow
def test_evaluate__without_torch_the_same_figures(small_run, small_onnx, cloud_folder, clouds, tmp_path):
    (cloud_folder / "broken.jpg").unlink()
    for index, image in enumerate(clouds):
        write_mask(tmp_path / "masks" / f"{index} ü.png", (image[..., 0] > 128).astype(np.uint8))
    arguments = [tmp_path / "masks", "--photos", cloud_folder]
    shown = call_without_torch("evaluate", small_onnx, *arguments, "--out", tmp_path / "a.json")
    assert shown.returncode == 0, shown.stderr
    main(["evaluate", *map(str, [small_run, *arguments]), "--out", str(tmp_path / "b.json"), "--device", "cpu"])
    assert read_json(tmp_path / "a.json") == read_json(tmp_path / "b.json")
    assert read_json(tmp_path / "a.json")["photos"] == 5


@pytest.mark.slow
def test_predict__a_crf_without_torch_is_refused(small_onnx, cloud_folder, tmp_path):
    shown = call_without_torch("predict", small_onnx, cloud_folder, "--out", tmp_path / "a", "--crf")
    assert shown.returncode == 2
    assert "The CRF needs torch" in shown.stderr and "Traceback" not in shown.stderr


@pytest.mark.slow
def test_predict__a_run_without_torch_is_refused(small_run, cloud_folder, tmp_path):
    shown = call_without_torch("predict", small_run, cloud_folder, "--out", tmp_path / "a")
    assert shown.returncode == 2
    assert "A run folder needs torch, which is not installed" in shown.stderr and "Traceback" not in shown.stderr


def test_load__without_onnxruntime(small_onnx, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"pip install .*\[onnx\]'"):
        OnnxSegmenter.load(small_onnx)


def test_load__refuses_what_is_no_network_of_ours(small_onnx, tmp_path):
    with pytest.raises(DataError, match="There is no file"):
        OnnxSegmenter.load(tmp_path / "gone.onnx")
    (tmp_path / "short.onnx").write_bytes(small_onnx.read_bytes()[:1000])
    with pytest.raises(DataError, match="cannot be read as an ONNX network"):
        OnnxSegmenter.load(tmp_path / "short.onnx")
    model = onnx.load(small_onnx)
    kept = [prop for prop in model.metadata_props if prop.key != "classes"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(DataError, match="missing or damaged: 'classes'; make the file with coarse2fine export"):
        OnnxSegmenter.load(tmp_path / "other.onnx")


@pytest.mark.parametrize("name", [b"side_step_px", b"images"])
def test_load__a_name_that_is_not_utf_8(small_onnx, tmp_path, capfd, name):
    content = small_onnx.read_bytes()
    assert name in content
    (tmp_path / "bad.onnx").write_bytes(content.replace(name, b"\xff" + name[1:]))
    with pytest.raises(DataError, match=r"cannot be read as an ONNX network \('utf-8' codec can't decode"):
        OnnxSegmenter.load(tmp_path / "bad.onnx")
    assert capfd.readouterr() == ("", "")


def write_graph(path: Path, metadata: dict[str, str], side: str = "height", weight: float = 1.0) -> Path:
    """Write an ONNX file whose probabilities are the colors of each pixel, times a weight."""
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=kinds.FLOAT),
        helper.make_node("Mul", ["float", "weight"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["probabilities"], perm=[0, 3, 1, 2]),
    ]
    graph = helper.make_graph(
        nodes,
        "colors",
        [helper.make_tensor_value_info("images", kinds.UINT8, ["batch", side, "width", 3])],
        [helper.make_tensor_value_info("probabilities", kinds.FLOAT, ["batch", 3, side, "width"])],
        [helper.make_tensor("weight", kinds.FLOAT, [], [weight])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


def test_load__a_graph_of_others_with_our_metadata(small_segmenter, tmp_path):
    path = write_graph(tmp_path / "a.onnx", to_metadata(small_segmenter))
    red = np.zeros((40, 30, 3), np.uint8)
    red[..., 1] = 200
    assert (OnnxSegmenter.load(path, "cpu", 1).predict(red) == 1).all()


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("classes", '"background"', "classes must be a valid array"),
        ("classes", '["background", "red"]', r"must have one input 'images'.*\(batch, 2, height, width\)"),
        ("flip", '"no"', r"predict\.flip must be a valid boolean"),
        ("size_px", "100000", "must be at most 4096"),
        ("scales", "[1.0" + ", 1.0" * 1000 + "]", "must have at most 10 items"),
        ("scales", "[NaN]", r"each value of predict\.scales"),
        ("scales", "[" * 100_000, "an entry is missing or damaged"),
        ("crf", '{"steps": 1e9}', r"predict\.crf\.steps must be"),
        ("crf", "[" + "1, " * 200_000 + "1]", "more than 500000 characters"),
        ("side_step_px", "7", "other working sizes than multiples of 32"),
    ],
)
def test_load__names_what_is_wrong_in_the_metadata(small_segmenter, tmp_path, entry, value, message):
    path = write_graph(tmp_path / "a.onnx", to_metadata(small_segmenter) | {entry: value})
    with pytest.raises(DataError, match=message) as caught:
        OnnxSegmenter.load(path, "cpu", 1)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


def test_predict__what_a_graph_cannot_compute_is_one_sentence(small_segmenter, tmp_path):
    image = np.full((40, 30, 3), 9, np.uint8)
    nan = write_graph(tmp_path / "nan.onnx", to_metadata(small_segmenter), weight=float("nan"))
    with pytest.raises(DataError, match="probabilities that are not finite"):
        OnnxSegmenter.load(nan, "cpu", 1).predict(image)
    fixed = write_graph(tmp_path / "fixed.onnx", to_metadata(small_segmenter), side=7)
    with pytest.raises(DataError, match=r"could not compute the network for a batch of shape \(1, 64, 64, 3\)"):
        OnnxSegmenter.load(fixed, "cpu", 1).predict(image)


def test_load__a_gpu_that_is_not_there(small_onnx, small_run):
    with pytest.raises(ConfigError, match="installed onnxruntime computes only on the CPU"):
        OnnxSegmenter.load(small_onnx, "cuda")
    with pytest.raises(ConfigError, match="torch finds no CUDA GPU"):
        load_model(small_run, "cuda")


def test_load_model__a_run_or_an_exported_network(small_run, small_onnx, clouds):
    assert is_model(small_run) and is_model(small_run / "model") and is_model(small_onnx)
    assert not is_model(small_run.parent)
    masks = [load_model(path, "cpu", 1).predict(clouds[0]) for path in (small_run, small_run / "model", small_onnx)]
    assert all((mask == masks[0]).all() for mask in masks)
