"""``coarse2fine predict``: a network and photos become masks with all classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from coarse2fine.cli.parser import parse_settings
from coarse2fine.runtime.device import Device


def run(arguments: Sequence[str]) -> None:
    """Parse, predict, tell."""
    parse_settings(predict, arguments, "predict")


def predict(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|MODEL.onnx")],
    photos: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS...")],
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    size_px: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    flip: Annotated[bool | None, tyro.conf.arg(metavar="True|False")] = None,
    scales: Annotated[tuple[float, ...] | None, tyro.conf.arg(metavar="FLOAT...")] = None,
    crf: Annotated[bool | None, tyro.conf.arg(metavar="True|False")] = None,
    batch: int = 8,
    overlays: bool = True,
    scores: bool = False,
    max_megapixels: float = 200.0,
    device: Device = "auto",
    threads: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    quiet: bool = False,
) -> None:
    """Find all classes of a trained network in any photos.

    Writes DIR/masks/PHOTO.png (palette PNG at the photo's size, pixel = class index), DIR/overlays/PHOTO.jpg,
    DIR/found.csv (classes and their share of each photo), DIR/classes.json, and where the photos lie, DIR/photos.json.

    Like this:
      coarse2fine predict runs/pets holiday/ --out masks
      coarse2fine predict pets.onnx holiday/ --out masks
      coarse2fine predict runs/pets a.jpg 'more/**/*.png' --out masks --scores --size-px 480

    Args:
        run: A run folder of fit, the model folder in it, or a network from coarse2fine export.
        photos: Photo files, folders, or glob patterns.
        out: Where the results go.
        size_px: Longer side at which the network sees a photo; default: as in training, which is best.
        flip: Average with the mirrored photo; default: as the run was set.
        scales: Average over these multiples of the size; default: as the run was set.
        crf: Draw the masks to the photos' edges with a fully connected CRF; default: as the run was set. Its steps and
            sigmas are those of the run, predict.crf in RUN/model/model.toml.
        batch: Photos per step.
        overlays: Also write the masks laid over the photos.
        scores: Also write the network's class probabilities, DIR/scores/PHOTO.npz.
        max_megapixels: Larger photos are left out, with their reason.
        device: Where the network is computed; auto: on the CUDA GPU if there is one.
        threads: Threads of the processor for the network; default: all cores.
        quiet: Print only warnings and errors.
    """
    from coarse2fine.config import PredictConfig
    from coarse2fine.errors import ConfigError
    from coarse2fine.inference.load import load_model
    from coarse2fine.inference.predict import PredictOptions, predict_photos
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.context import Context

    if not photos:
        raise ConfigError("predict needs photos: files, folders or glob patterns after the run folder.")
    segmenter = load_model(run, device, threads)
    config = PredictConfig(
        size_px=size_px or segmenter.size_px,
        flip=segmenter.flip if flip is None else flip,
        scales=scales or segmenter.scales,
        batch=batch,
        crf=segmenter.crf.turned(crf),
    )
    context = Context(console=Console(quiet))
    options = PredictOptions(config.batch, overlays, scores, max_megapixels)
    skipped = predict_photos(segmenter.with_settings(config), photos, out, options, context)
    for item in skipped:
        context.console.warn(f"left out: {item.path}: {item.reason}")
    context.console.say(f"masks: {out / 'masks'}", style="green")
