import json
import sys

import numpy as np
import onnx
import pytest
from torch import Tensor, nn

from coarse2fine.config import PredictConfig
from coarse2fine.errors import Coarse2FineError, ConfigError
from coarse2fine.export import onnx_export
from coarse2fine.export.network_graph import compare_with_network, copy_to_cpu
from coarse2fine.export.onnx_export import export_onnx
from coarse2fine.inference.onnx_segmenter import OnnxSegmenter
from coarse2fine.inference.torch_segmenter import TorchSegmenter


@pytest.mark.parametrize("view", [PredictConfig(), PredictConfig(flip=False, scales=(0.5, 1.0, 1.25), size_px=96)])
def test_export_onnx__computes_the_probabilities_and_masks_of_torch(small_segmenter, small_onnx, clouds, view):
    network, exported = (
        small_segmenter.with_settings(view),
        OnnxSegmenter.load(small_onnx, "cpu", 1).with_settings(view),
    )
    for image in clouds:
        expected = network.predict_probabilities(image)
        assert expected.std() > 0.1
        assert np.abs(exported.predict_probabilities(image) - expected).max() < 1e-4
        assert (exported.predict(image) == network.predict(image)).all()


@pytest.mark.parametrize("shape", [(1, 64, 64), (5, 32, 96), (2, 67, 45)])
def test_export_onnx__any_number_and_size(small_segmenter, small_onnx, shape):
    batch = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    session = OnnxSegmenter.load(small_onnx, "cpu", 1).session

    def compute(images: np.ndarray) -> np.ndarray:
        return session.run(["probabilities"], {"images": images})[0]

    compare_with_network(copy_to_cpu(small_segmenter), compute, [shape])
    probabilities = compute(batch)
    assert probabilities.shape == (shape[0], 3, *shape[1:]) and probabilities.dtype == np.float32
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_export_onnx__file_is_valid_and_has_metadata(small_onnx):
    model = onnx.load(small_onnx)
    onnx.checker.check_model(model, full_check=True)
    notes = {prop.key: prop.value for prop in model.metadata_props}
    assert json.loads(notes["classes"]) == ["background", "Röte", "blue"]
    assert (notes["size_px"], notes["flip"], notes["scales"], notes["side_step_px"]) == (
        "64",
        "true",
        "[1.0, 0.5]",
        "32",
    )
    sizes = [size.dim_param or size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", "height", "width", 3]
    sizes = [size.dim_param or size.dim_value for size in model.graph.output[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", 3, "height", "width"]
    assert b"site-packages" not in small_onnx.read_bytes()


class BranchOnValues(nn.Module):
    """Cannot be traced, because its computation depends on the values of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images) if images.sum() > 0 else -self.layer(images)


class MobileBlock(nn.Module):
    """The operators of MobileNet that the encoder of `small_segmenter` lacks: ReLU6, and adding a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.activation, self.classify = nn.ReLU6(inplace=True), nn.Conv2d(4, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images)
        return self.classify(features + self.activation(self.depthwise(features)))


@pytest.mark.slow
def test_export_onnx__operators_of_mobilenet(small_segmenter, tmp_path):
    network = TorchSegmenter(MobileBlock(), ("background", "a"), small_segmenter.network_config, 64)
    assert export_onnx(network, tmp_path / "a.onnx") < 1e-4
    assert {"Clip", "Add"} <= {node.op_type for node in onnx.load(tmp_path / "a.onnx").graph.node}


def test_export_onnx__an_architecture_that_cannot_be_exported(small_segmenter, tmp_path):
    (tmp_path / "a.onnx").write_text("before")
    network = TorchSegmenter(BranchOnValues(), ("background", "a"), small_segmenter.network_config, 64)
    with pytest.raises(ConfigError, match=r"encoder test_efficientnet cannot be exported by torch.export: .*choose"):
        export_onnx(network, tmp_path / "a.onnx")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_export_onnx__a_file_that_differs_is_not_written(small_segmenter, small_onnx, tmp_path, monkeypatch):
    model = onnx.load(small_onnx)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("classify.bias"))
    bias.raw_data = np.array([9, 0, 0], np.float32).tobytes()
    monkeypatch.setattr(onnx_export, "_convert", lambda *_: model)
    with pytest.raises(Coarse2FineError, match="they differ by .*Nothing was written"):
        export_onnx(small_segmenter, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_export_onnx__without_the_extra(small_segmenter, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"pip install .*\[onnx\]'"):
        export_onnx(small_segmenter, tmp_path / "a.onnx")
