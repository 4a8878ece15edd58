"""Soft masks of new photos on their way to the next generation: centered, scored, aligned with edges."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from coarse2fine.coarse.student import Student
from coarse2fine.data import read_image
from coarse2fine.distillation.selection import mean_nonzero
from coarse2fine.distillation.videopca import centered_gaussian
from coarse2fine.enhance.grabcut import grabcut
from coarse2fine.masks.png import mask_path, read_soft
from coarse2fine.masks.resize import resize_soft
from coarse2fine.networks.student import EvalSegNet
from coarse2fine.runtime.threads import map_threads
from coarse2fine.types import Photo, SoftMask


def weight_by_center(soft: SoftMask, sigma_share: float) -> SoftMask:
    """Multiply a soft mask by a centered Gaussian and divide it by its maximum, as VideoPCA does with its masks.

    Args:
        soft: Soft mask, shape (h, w), 0 to 1.
        sigma_share: Sigma of the Gaussian as a share of the shorter side; 0 returns the mask unchanged.

    Returns:
        Soft mask, shape (h, w), 0 to 1; an empty mask stays empty.

    Source: method of the teacher (Stretcu and Leordeanu, BMVC 2015), steps 5 and 7.
    """
    if sigma_share == 0:
        return soft
    weighted = soft * centered_gaussian(*soft.shape, sigma_share)
    divided: SoftMask = weighted / max(float(weighted.max()), 1e-6)
    return divided


def has_foreground(soft: SoftMask) -> bool:
    """Return whether any pixel of a soft mask is above 0.5."""
    return bool((soft > 0.5).any())


def align_with_edges(photo: Photo, soft_path: Path, soft_share: float = 0.0) -> SoftMask:
    """Align a soft mask with the edges of its photo by GrabCut, which starts from the soft mask.

    Args:
        photo: The photo.
        soft_path: File of its soft mask, of any size.
        soft_share: Weight of the soft mask in the mean of the soft mask and the mask of GrabCut, 0 to 1.

    Returns:
        Soft mask, shape (H, W), 0 to 1; only 0 and 1 if ``soft_share`` is 0.
    """
    image, soft = read_image(photo.path), read_soft(soft_path)
    resized = resize_soft(soft, *image.shape[:2])
    cut = grabcut(image, (resized > 0.5).astype(np.uint8), "probabilities", soft).mask
    mean: SoftMask = soft_share * resized + np.float32(1 - soft_share) * cut
    return mean


def score_by_mean(photos: Sequence[Photo], masks: Path, threads: int) -> dict[str, float]:
    """Score soft masks by the mean of their non-zero pixels.

    Args:
        photos: The photos.
        masks: Folder of their soft masks.
        threads: Number of threads that read files.

    Returns:
        Quality score by name of the photo, 0 to 1; 0 if no pixel of the mask is above 0.5.
    """
    read = map_threads(lambda photo: read_soft(mask_path(masks, photo.name)), photos, threads)
    return {photo.name: mean_nonzero(soft) * has_foreground(soft) for photo, soft in zip(photos, read, strict=True)}


@torch.inference_mode()
def score_by_evalseg(
    evalseg: EvalSegNet, student: Student, photos: Sequence[Photo], masks: Path, threads: int
) -> dict[str, float]:
    """Score soft masks of a student network by EvalSeg-Net.

    Args:
        evalseg: Trained network. It is moved to the student's device and set to evaluation mode.
        student: Student that made the masks; the size at which it sees photos is used here, too.
        photos: The photos.
        masks: Folder of their soft masks.
        threads: Number of threads that read files.

    Returns:
        Quality score by name of the photo, 0 to 1; 0 if no pixel of the mask is above 0.5.
    """
    device = next(student.network.parameters()).device
    evalseg.to(device).eval()

    def load(photo: Photo) -> tuple[Photo, torch.Tensor, torch.Tensor]:
        view = student.network_input(read_image(photo.path, at_least_px=2 * student.config.seen_px))
        soft = read_soft(mask_path(masks, photo.name))
        return photo, torch.from_numpy(view).permute(2, 0, 1).float()[None] / 255, torch.from_numpy(soft)[None]

    return {
        photo.name: float(evalseg(view.to(device), soft.to(device))) * has_foreground(soft.numpy())
        for photo, view, soft in map_threads(load, photos, threads)
    }
