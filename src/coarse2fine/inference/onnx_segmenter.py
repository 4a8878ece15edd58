"""A network exported as ONNX in, scores out, by onnxruntime; never imports torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from coarse2fine.config import PredictCrfConfig
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.inference.segmenter import SIDE_STEP_PX, Segmenter
from coarse2fine.runtime.device import Device, count_cores

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INPUT, OUTPUT = "photos", "scores"


@dataclass(frozen=True)
class OnnxSegmenter(Segmenter):
    """A network exported by ``coarse2fine export --format onnx``.

    Attributes:
        session: Takes ``photos``, uint8 (N, H, W, 3), gives ``scores``, float32 (N, C, H, W).
        classes: Names by index; ``classes[0]`` is ``background``.
        size_px: Longer side at which the network sees a photo.
        flip: Average the scores with those of the mirrored photo.
        scales: Average the scores over these multiples of ``size_px``.
        crf: Whether and how a fully connected CRF draws the scores to the photo's edges; it needs torch.
    """

    session: "InferenceSession"
    classes: tuple[str, ...]
    size_px: int
    flip: bool = True
    scales: tuple[float, ...] = (1.0,)
    crf: PredictCrfConfig = field(default_factory=PredictCrfConfig)

    @classmethod
    def load(cls, path: Path | str, device: Device = "auto", threads: int | None = None) -> "OnnxSegmenter":
        """Load an exported network.

        Args:
            path: The ``.onnx`` file.
            device: Where it is computed; ``auto``: on the CUDA GPU where onnxruntime can.
            threads: Of the processor that compute a layer together; none: all cores.

        Raises:
            ConfigError: onnxruntime is not installed, or cannot compute on the GPU asked for.
            DataError: The file is missing, damaged, or was not made by ``coarse2fine export``.
        """
        session = _open_session(Path(path), device, threads)
        return cls(session, **_read_metadata(session.get_modelmeta().custom_metadata_map, Path(path)))

    def probabilities(self, batch: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.float32]:
        """See :meth:`Segmenter.probabilities`."""
        scores = self._run(batch)
        if self.flip:
            scores = (scores + self._run(np.ascontiguousarray(batch[:, :, ::-1]))[..., ::-1]) / np.float32(2)
        return scores if scores.shape[-2:] == shape else _interpolate(scores, shape)

    def _run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = self.session.run([OUTPUT], {INPUT: batch})[0]
        return scores


def to_metadata(scorer: Segmenter) -> dict[str, str]:
    """What a program must know of a network besides its graph, as texts; :meth:`OnnxSegmenter.load` reads it."""
    return {
        "coarse2fine": version("coarse2fine"),
        "classes": json.dumps(list(scorer.classes), ensure_ascii=False),
        "size_px": json.dumps(scorer.size_px),
        "side_step_px": json.dumps(SIDE_STEP_PX),
        "scales": json.dumps(list(scorer.scales)),
        "flip": json.dumps(scorer.flip),
        "crf": scorer.crf.model_dump_json(),
        "input": f"{INPUT}: uint8 (batch, height, width, 3), RGB, 0 to 255; the photo resized so that its longer side "
        "is size_px, both sides rounded to multiples of side_step_px; normalization is in the graph",
        "output": f"{OUTPUT}: float32 (batch, class, height, width), probabilities that sum to 1; to be averaged over "
        "scales and, where flip is true, those of the mirrored photo; the mask is their argmax at the photo's size",
    }


def _read_metadata(given: Mapping[str, str], path: Path) -> dict[str, Any]:
    try:
        known = {name: json.loads(given[name]) for name in ("classes", "size_px", "side_step_px", "scales", "flip")}
        crf = PredictCrfConfig.model_validate_json(given["crf"])
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{path} must be a network with coarse2fine's notes in its metadata, but lacks or garbles "
            f"{str(error).splitlines()[0]}; make it by coarse2fine export RUN --format onnx."
        ) from error
    if known.pop("side_step_px") != SIDE_STEP_PX:
        raise DataError(f"{path} needs photos of other sides than multiples of {SIDE_STEP_PX}; export it anew.")
    return known | {"classes": tuple(known["classes"]), "scales": tuple(known["scales"]), "crf": crf}


def _open_session(path: Path, device: Device, threads: int | None) -> "InferenceSession":
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f"{path} needs onnxruntime, which is not installed ({error}): pip install 'coarse2fine[onnx]', or "
            "onnxruntime-gpu for a CUDA GPU."
        ) from error
    if not path.is_file():
        raise DataError(f"There is no network {path}.")
    providers = _pick_providers(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or count_cores()
    options.log_severity_level = 3  # its warnings are about its own optimizations
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others read photos meanwhile
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime has an exception for every status and no base class of them
        raise DataError(f"{path} cannot be read as an ONNX network ({str(error).splitlines()[0]}).") from error
    if device == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
        raise ConfigError(
            "onnxruntime found no way to compute on the GPU, though it has one built in; check that the versions of "
            "CUDA and cuDNN are those that its documentation asks for, or choose --device cpu."
        )
    return session


def _pick_providers(device: Device) -> list[str]:
    import onnxruntime

    has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if device == "cuda" and not has_cuda:
        raise ConfigError(
            "The onnxruntime installed here computes on the CPU only; choose --device cpu, or replace it: "
            "pip uninstall onnxruntime, then pip install onnxruntime-gpu."
        )
    if device == "cpu" or not has_cuda:
        return ["CPUExecutionProvider"]
    onnxruntime.preload_dlls()  # CUDA and cuDNN from NVIDIA's wheels, should they be installed
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]


def _interpolate(scores: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Bilinear, between centers of pixels, without smoothing, as torch does it."""
    height, width = shape
    resized = [
        [cv2.resize(channel, (width, height), interpolation=cv2.INTER_LINEAR) for channel in one] for one in scores
    ]
    return np.asarray(resized, dtype=np.float32)
