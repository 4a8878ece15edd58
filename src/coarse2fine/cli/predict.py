"""``coarse2fine predict``: a network and photos or videos become masks of all classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from coarse2fine.cli.parser import Json, Quiet, parse_and_call
from coarse2fine.runtime.device import Device


def run(arguments: Sequence[str]) -> None:
    """Parse the options and predict."""
    parse_and_call(predict, arguments, "predict")


def predict(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|MODEL.onnx")],
    photos: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS...")],
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    size_px: int | None = None,
    flip: bool | None = None,
    scales: Annotated[tuple[float, ...] | None, tyro.conf.arg(metavar="FLOAT...")] = None,
    crf: bool | None = None,
    batch: int = 8,
    overlays: bool = True,
    probabilities: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    cutout: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    instances: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    every: int = 1,
    max_megapixels: float = 200.0,
    device: Device = "auto",
    threads: int | None = None,
    quiet: Quiet = False,
    json: Json = False,
) -> dict[str, Any]:
    """Segment all classes of a trained network in any photos and videos.

    Writes DIR/masks/PHOTO.png (palette PNG at the size of the photo, pixel = class index), DIR/overlays/PHOTO.jpg,
    DIR/found.csv (classes and their share of each photo), DIR/classes.json, DIR/photos.json (paths of the photos), and
    DIR/origin.json (by which export recognizes the photos).

    For example:
      coarse2fine predict runs/pets holiday/ --out masks
      coarse2fine predict pets.onnx holiday/ --out masks --crf
      coarse2fine predict runs/pets https://example.org/cat.jpg --out cat --cutout
      coarse2fine predict runs/pets dog.mp4 --out dog
      coarse2fine predict runs/pets a.jpg 'more/**/*.png' --out masks --probabilities --size-px 480

    Args:
        run: Run folder of fit, its folder model, or an .onnx file written by coarse2fine export.
        photos: Photo files, folders, glob patterns, or addresses (https://...); - reads one photo from standard input.
            Also video files, named one by one: each frame gets its files, and the overlays are a video.
        out: Folder for the results.
        size_px: Longer side to which photos are resized for the network; default: the size of the run.
        flip: Let the network also see the photo mirrored; default: the setting of the run.
        scales: Average the probabilities over these scales of the photo; default: the setting of the run.
        crf: Align the masks with image edges by a fully connected CRF; default: the setting of the run.
        batch: Photos per batch.
        overlays: Also write the masks drawn over the photos.
        probabilities: Also write the class probabilities, DIR/probabilities/PHOTO.npz.
        cutout: Also write the objects alone, DIR/cutouts/PHOTO.png (RGBA, soft edge, no background).
        instances: Also write DIR/objects.csv: class, score, box, area and polygon of each connected object.
        every: Of a video, predict only every n-th frame.
        max_megapixels: Larger photos are skipped. Frames of videos may have at most 70.
        device: Where the network is computed; auto: on the CUDA GPU if there is one.
        threads: CPU threads of the network; default: one per core.
        quiet: Print only warnings and errors.
        json: Print the result as one JSON object; all other output goes to standard error.
    """
    from coarse2fine.config import PredictConfig
    from coarse2fine.errors import ConfigError
    from coarse2fine.inference.load import load_model
    from coarse2fine.inference.predict import collect_inputs, predict_inputs
    from coarse2fine.inference.result_files import PredictOptions
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.context import Context

    if not photos:
        raise ConfigError("predict needs photos: files, folders or glob patterns after the run folder.")
    context = Context(console=Console(quiet))
    inputs = collect_inputs(photos, out)
    for item in inputs.ignored:
        context.console.warn(item.reason)
    segmenter = load_model(run, device, threads)
    config = PredictConfig(
        size_px=size_px or segmenter.size_px,
        flip=segmenter.flip if flip is None else flip,
        scales=scales or segmenter.scales,
        foreground_first=segmenter.foreground_first,
        crf=segmenter.crf.on if crf is None else crf,
    )
    options = PredictOptions(batch, overlays, probabilities, max_megapixels, cutout, instances, every)
    skipped = predict_inputs(segmenter.with_settings(config), inputs, out, options, context)
    for item in skipped:
        context.console.warn(f"skipped: {item.path}: {item.reason}")
    context.console.say(f"masks: {out / 'masks'}", style="green")
    return {
        "masks": str(out / "masks"),
        "table": str(out / "found.csv"),
        "photos": len(set(inputs.photos) - {item.path for item in skipped}),
        "videos": len(inputs.videos),
        "skipped": {str(item.path): item.reason for item in skipped},
    }
