import onnx
import pytest

from coarse2fine.data.photo_files import list_photos
from coarse2fine.errors import DataError
from coarse2fine.export.int8_quantization import quantize
from coarse2fine.inference.onnx_segmenter import OnnxSegmenter


def test_quantize__smaller_and_nearly_as_sure(small_onnx, cloud_folder, clouds, tmp_path):
    (cloud_folder / "broken.jpg").unlink()
    quantize(small_onnx, tmp_path / "small.onnx", list_photos([cloud_folder]))
    assert (tmp_path / "small.onnx").stat().st_size < 0.6 * small_onnx.stat().st_size
    kinds = {node.op_type for node in onnx.load(tmp_path / "small.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    whole, small = (OnnxSegmenter.load(path, "cpu", 1) for path in (small_onnx, tmp_path / "small.onnx"))
    assert small.classes == whole.classes and small.scales == whole.scales
    agreement = [(small.predict(image) == whole.predict(image)).mean() for image in clouds]
    assert min(agreement) > 0.7
    assert any((small.predict_probabilities(image) != whole.predict_probabilities(image)).any() for image in clouds)


def test_quantize__a_bad_photo_is_named(small_onnx, cloud_folder, tmp_path):
    with pytest.raises(DataError, match="broken.jpg: not an image"):
        quantize(small_onnx, tmp_path / "small.onnx", list_photos([cloud_folder]))
    assert not (tmp_path / "small.onnx").exists()
