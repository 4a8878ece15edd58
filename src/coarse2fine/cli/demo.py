"""``coarse2fine demo``: the whole pipeline on drawn photos, without downloads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import FlagCreatePairsOff

from coarse2fine.cli.parser import Json, Quiet, parse_and_call
from coarse2fine.runtime.device import Device

ROWS = 8


def run(arguments: Sequence[str]) -> None:
    """Parse the options, draw photos and run fit on them."""
    parse_and_call(demo, arguments, "demo")


def demo(
    out: Path = Path("demo"),
    seed: int = 0,
    classes: int = 6,
    photos_per_class: int = 60,
    draw_only: Annotated[bool, FlagCreatePairsOff] = False,
    device: Device = "auto",
    threads: int | None = None,
    quiet: Quiet = False,
    json: Json = False,
) -> dict[str, Any]:
    """Draw photos of up to six classes, and train masks and a network on them, in about 12 minutes on two cores.

    Writes OUT/data (photos, and ground truth for measuring), OUT/run (the run) and OUT/rounds.png (the masks after each
    round).

    For example:
      coarse2fine demo
      coarse2fine demo --draw-only --classes 4 --photos-per-class 10
      coarse2fine fit PHOTOS --out RUN                  # the same on your own photos

    Args:
        out: Folder for everything.
        seed: Seed of the drawn photos.
        classes: Number of classes, 3 to 6.
        photos_per_class: Training photos of each class.
        draw_only: Draw OUT/data, and stop.
        device: Where networks are computed; auto: on the CUDA GPU if there is one.
        threads: CPU threads; default: one per core.
        quiet: Print only warnings and errors.
        json: Print the result as one JSON object; all other output goes to standard error.
    """
    from coarse2fine.config import load_recipe
    from coarse2fine.data import open_dataset
    from coarse2fine.data.synthetic import draw_dataset
    from coarse2fine.pipeline.fit import fit
    from coarse2fine.report.contact_sheet import draw_rounds, pick_rows
    from coarse2fine.report.facts import describe_run
    from coarse2fine.runtime.console import Console

    console = Console(quiet)
    data, settings = out / "data", load_recipe("demo")
    if draw_only or not (data / "classes.txt").exists():
        console.say("drawing photos ...")
        draw_dataset(data, seed, photos_per_class, classes=classes)
    if draw_only:
        console.say(f"{data / 'train'}: photos; {data / 'val'} and {data / 'train_masks'}: ground truth for measuring")
        return {"photos": str(data / "train")}
    ground_truth = [data / "val", data / "train_masks"]
    run = fit(data / "train", out / "run", settings, ground_truth, quiet, device=device, threads=threads)
    picture = out / "rounds.png"
    rows = pick_rows(open_dataset(data / "train").photos, ROWS)
    draw_rounds(run, rows, run.count_rounds(settings.most_rounds), picture, data / "train_masks")
    console.say(f"{picture}: photo, coarse mask, enhanced mask, masks of each round, ground truth", style="bold green")
    return describe_run(run) | {"picture": str(picture)}
