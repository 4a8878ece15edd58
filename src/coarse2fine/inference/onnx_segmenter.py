"""An exported segmentation network that onnxruntime computes; never imports torch."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from coarse2fine.config import ModelConfig, PredictCrfConfig, parse_model
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.inference.segmenter import SIDE_STEP_PX, Segmenter
from coarse2fine.runtime.device import Device, count_cores
from coarse2fine.runtime.extras import install_command

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INPUT, OUTPUT = "images", "probabilities"

MAX_METADATA_CHARACTERS = 500_000
"""Length of the metadata of a file, at most; most of it are the names of the classes."""


@dataclass(frozen=True)
class OnnxSegmenter(Segmenter):
    """A network exported by ``coarse2fine export --format onnx``, computed by onnxruntime.

    Attributes:
        session: Takes ``images``, uint8 (N, H, W, 3); returns ``probabilities``, float32 (N, C, H, W).
        classes: Class names by index; ``classes[0]`` is ``background``.
        size_px: Longer side to which photos are resized for the network.
        flip: Whether the network also sees the photo mirrored; see :class:`Segmenter`.
        scales: Probabilities are averaged over these multiples of ``size_px``.
        foreground_first: How the class of a pixel follows from the probabilities; see :class:`Segmenter`.
        crf: Settings of a fully connected CRF that aligns the probabilities with the edges of the photo. The CRF
            needs torch.
    """

    session: "InferenceSession"
    classes: tuple[str, ...]
    size_px: int
    flip: bool = True
    scales: tuple[float, ...] = (1.0,)
    foreground_first: bool = True
    crf: PredictCrfConfig = field(default_factory=PredictCrfConfig)

    @classmethod
    def load(cls, path: Path | str, device: Device = "auto", threads: int | None = None) -> "OnnxSegmenter":
        """Load an exported network from an ``.onnx`` file; see :meth:`Segmenter.load`.

        ``device="auto"`` uses the CUDA GPU if the installed onnxruntime supports it.
        """
        path = Path(path)
        session = _open_session(path, device, threads)
        with _explain_damage(path):  # such as a name that is not UTF-8
            metadata = session.get_modelmeta().custom_metadata_map
        model = _read_metadata(metadata, path)
        _check_graph(session, len(model.classes), path)
        predict = model.predict
        return cls(
            session,
            model.classes,
            predict.size_px,
            predict.flip,
            predict.scales,
            predict.foreground_first,
            predict.crf,
        )

    def run_network(self, batch: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.float32]:
        """See :meth:`Segmenter.run_network`."""
        probabilities = self._run_session(batch)
        return probabilities if probabilities.shape[-2:] == shape else _interpolate(probabilities, shape)

    def _run_session(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            probabilities: NDArray[np.float32] = self.session.run([OUTPUT], {INPUT: batch})[0]
        except Exception as error:  # onnxruntime has an exception for every status and no base class of them
            raise DataError(
                f"onnxruntime could not compute the network for a batch of shape {batch.shape}: "
                f"{_first_line(error)}; use a smaller batch, or export the network again."
            ) from error
        if probabilities.shape[:2] != (len(batch), len(self.classes)):
            raise DataError(
                f"The network must return class probabilities of shape ({len(batch)}, {len(self.classes)}, height, "
                f"width), but returned {probabilities.shape}; export it again."
            )
        return probabilities


def to_metadata(segmenter: Segmenter) -> dict[str, str]:
    """Return what :meth:`OnnxSegmenter.load` needs besides the graph of a network, as metadata of the file."""
    return {
        "coarse2fine": version("coarse2fine"),
        "classes": json.dumps(list(segmenter.classes), ensure_ascii=False),
        "size_px": json.dumps(segmenter.size_px),
        "side_step_px": json.dumps(SIDE_STEP_PX),
        "scales": json.dumps(list(segmenter.scales)),
        "flip": json.dumps(segmenter.flip),
        "foreground_first": json.dumps(segmenter.foreground_first),
        "crf": segmenter.crf.model_dump_json(),
        "input": f"{INPUT}: uint8 (batch, height, width, 3), RGB, 0 to 255; the photo resized so that its longer side "
        "is size_px, both sides rounded to multiples of side_step_px; normalization is in the graph",
        "output": f"{OUTPUT}: float32 (batch, class, height, width), probabilities that sum to 1; to be averaged over "
        "scales; where flip is true, the photo is mirrored at every second scale, and with one scale both views are "
        "averaged; then resized to the photo's size; where foreground_first is true, a pixel is background if the "
        "square of the probability of background is at least the sum of all others times their largest, and otherwise "
        "has the most probable other class; where it is false, the mask is the argmax",
    }


def _read_metadata(given: Mapping[str, str], path: Path) -> ModelConfig:
    names = ("classes", "size_px", "side_step_px", "scales", "flip", "foreground_first", "crf")
    try:
        if sum(map(len, given.values())) > MAX_METADATA_CHARACTERS:
            raise ValueError(f"more than {MAX_METADATA_CHARACTERS} characters")
        known = {name: json.loads(given[name]) for name in names}
    except (KeyError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} must be a network with the metadata of coarse2fine, but an entry is missing or damaged: "
            f"{_first_line(error)}; make the file with coarse2fine export RUN --format onnx."
        ) from error
    if known.pop("side_step_px") != SIDE_STEP_PX:
        raise DataError(
            f"{path} was exported for other working sizes than multiples of {SIDE_STEP_PX} px; export it again."
        )
    classes = known.pop("classes")
    return parse_model({"classes": classes, "predict": known | {"precision": "fp32"}}, ModelConfig, str(path))


def _check_graph(session: "InferenceSession", classes: int, path: Path) -> None:
    """Check inputs and outputs of a graph, as far as it tells their shapes."""
    with _explain_damage(path):
        inputs = {value.name: value for value in session.get_inputs()}
        outputs = {value.name: value for value in session.get_outputs()}
    fits = list(inputs) == [INPUT] and OUTPUT in outputs
    if fits:
        image, result = inputs[INPUT], outputs[OUTPUT]
        fits = (
            (image.type, result.type) == ("tensor(uint8)", "tensor(float)")
            and len(image.shape) == len(result.shape) == 4
            and image.shape[3] == 3
            and (not isinstance(result.shape[1], int) or result.shape[1] == classes)
        )
    if not fits:
        raise DataError(
            f"{path} must have one input '{INPUT}', uint8 (batch, height, width, 3), and the output '{OUTPUT}', "
            f"float32 (batch, {classes}, height, width), but has others; make it with coarse2fine export RUN --format "
            "onnx."
        )


def _open_session(path: Path, device: Device, threads: int | None) -> "InferenceSession":
    if not path.is_file():
        raise DataError(f"There is no file {path}.")
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f"{path} needs onnxruntime, which is not installed ({error}): {install_command('onnx')}, or "
            "onnxruntime-gpu for a CUDA GPU."
        ) from error
    providers = _pick_providers(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or count_cores()
    options.log_severity_level = 3  # its warnings are about its own optimizations
    # spinning threads would take cores from the threads that decode photos
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with _explain_damage(path):  # with one provider, onnxruntime would try the same again, and print the error
        session = onnxruntime.InferenceSession(
            str(path), options, providers=providers, enable_fallback=len(providers) > 1
        )
    if device == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
        raise ConfigError(
            "onnxruntime could not use the GPU, although this build supports CUDA; install the versions of CUDA and "
            "cuDNN that its documentation requires, or use --device cpu."
        )
    return session


@contextmanager
def _explain_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # onnxruntime has an exception for every status and no base class of them
        raise DataError(f"{path} cannot be read as an ONNX network ({_first_line(error)}).") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _pick_providers(device: Device) -> list[str]:
    import onnxruntime

    has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if device == "cuda" and not has_cuda:
        raise ConfigError(
            "The installed onnxruntime computes only on the CPU; use --device cpu, or replace it: "
            "pip uninstall onnxruntime, then pip install onnxruntime-gpu."
        )
    if device == "cpu" or not has_cuda:
        return ["CPUExecutionProvider"]
    onnxruntime.preload_dlls()  # finds CUDA and cuDNN in NVIDIA's wheels
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]


def _interpolate(probabilities: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Interpolate bilinearly between pixel centers, without smoothing, as torch does."""
    height, width = shape
    resized = [
        [cv2.resize(channel, (width, height), interpolation=cv2.INTER_LINEAR) for channel in one]
        for one in probabilities
    ]
    return np.asarray(resized, dtype=np.float32)
