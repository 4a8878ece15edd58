"""What a network makes of all photos: their next masks, and which of them go on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coarse2fine.config import RefineConfig
from coarse2fine.data.reader import ReadOptions
from coarse2fine.evaluation.mask_quality import Quality, find_worst
from coarse2fine.inference.files import FilePrediction, predict_files
from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.masks.constraint import constrain_soft, keep_reason
from coarse2fine.masks.png import mask_path, read_mask, write_mask, write_soft
from coarse2fine.masks.regions import foreground_mask
from coarse2fine.masks.resize import resize_soft
from coarse2fine.pipeline.mask_writer import list_missing
from coarse2fine.runtime.context import Context
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Photo

REFINE_BATCH = 8


def refine_masks(
    photos: Sequence[Photo],
    segmenter: Segmenter,
    folder: Path,
    config: RefineConfig,
    context: Context,
    title: str = "refined masks",
    scores_folder: Path | None = None,
) -> None:
    """Write for every photo the mask that the network gives it, constrained to its label.

    Where there is a ``scores_folder``, it receives how likely each pixel is the label's, at the network's working size.

    Source: the paper, section IV-D2, strategy b.
    """

    def finish(prediction: FilePrediction) -> None:
        photo = photos[prediction.index]
        soft = constrain_soft(prediction.probabilities, photo.label, config.constrain, config.threshold)
        if scores_folder:
            write_soft(mask_path(scores_folder, photo.name), soft)
        own = resize_soft(soft, *prediction.size) > 0.5
        write_mask(mask_path(folder, photo.name), own.astype(np.uint8) * np.uint8(photo.label))

    missing = {photo.name for photo in list_missing(photos, folder)}
    paths = [photo.path for photo in photos]
    options = ReadOptions(batch_size=REFINE_BATCH, threads=context.threads, world=context.world)
    predictions = predict_files(segmenter, paths, options, lambda index: photos[index].name in missing)
    mine = len(photos) // context.world.size
    # A batch is scored as a whole: masks that are there, such as those that people corrected, stay as they are.
    wanted = (one for one in predictions if photos[one.index].name in missing)
    done = map_threads(finish, wanted, context.threads)
    for _ in context.console.track(done, mine, title, mine - len(missing) // context.world.size):
        pass


def filter_masks(
    photos: Sequence[Photo], folder: Path, config: RefineConfig, context: Context, qualities: Sequence[Quality] = ()
) -> dict[str, str | None]:
    """Judge by its mask, and by its quality if ``drop_worst`` asks for it, whether a photo goes on to the next round.

    Args:
        photos: All photos.
        folder: The masks that a network gave them.
        config: Limits of the share, and the share of each class that leaves for its quality.
        context: Who works.
        qualities: Of all photos; empty where ``drop_worst`` is 0.

    Returns:
        For each photo's name: none if it stays, else why it leaves.

    Source: the paper, section IV-D2 (1 % and 80 %).
    """

    def judge(photo: Photo) -> str | None:
        return keep_reason(read_mask(mask_path(folder, photo.name)), config.min_share, config.max_share)

    worst = find_worst(qualities, config.drop_worst)
    scores = {one.photo: one.score for one in qualities if one.photo in worst}
    among = f"is among the lowest {100 * config.drop_worst:.4g} % of its class"
    shares = zip(photos, map_threads(judge, photos, context.threads), strict=True)
    return {
        photo.name: reason or (f"quality {scores[photo.name]:.3f} {among}" if photo.name in worst else None)
        for photo, reason in shares
    }


def find_empty(photos: Sequence[Photo], folder: Path, context: Context) -> set[str]:
    """Names of photos whose mask has no foreground: they would teach that their object is background."""

    def is_empty(photo: Photo) -> bool:
        return not foreground_mask(read_mask(mask_path(folder, photo.name))).any()

    empty = map_threads(is_empty, photos, context.threads)
    return {photo.name for photo, nothing in zip(photos, empty, strict=True) if nothing}
