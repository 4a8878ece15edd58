"""A linear model of all photos of a data set: which features of an encoder belong to objects, and to which class?

The soft mask of a single photo has errors. A linear model that is fitted to the features of an encoder trained on
ImageNet, and to the soft masks of many photos, has too few coefficients to repeat these errors: it learns only what
many photos have in common. Every photo is predicted by a model that was fitted to other photos (cross-validation).
"""

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from coarse2fine.masks.resize import resize_soft
from coarse2fine.types import BACKGROUND, Mask, SoftMask

Array = NDArray[np.float32]

FOLDS = 5
"""Parts of the photos; each is predicted by a model that was fitted to the other parts."""

RIDGE = 0.003
"""Weight of the penalty on the coefficients, per cell; features have length 1 at each level of the encoder.

With 0.0003 to 0.03, the order of coarse methods (:mod:`coarse2fine.coarse.judge`) hardly changed on five sets
(docs/log.md, 2026-11-29).
"""

THRESHOLD, THRESHOLD_OF_HIGHEST, HIGHEST_QUANTILE = 0.5, 0.7, 0.98
"""A cell is foreground above this share, or above this multiple of the photo's highest share, whichever is less.

The highest share is the quantile of all cells. Without the first limit, masks that were nearly right (blood cells)
became too small: IoU .904 instead of .938 (docs/log.md, 2026-11-30).
"""


def assign_folds(groups: Sequence[int]) -> list[int]:
    """Assign each photo to one of `FOLDS` parts, so that each part has its share of every group.

    Neighbors in a group stay together, because they may be frames of one video. Each group starts with another part:
    otherwise all groups of a single photo would be in the first one.

    Args:
        groups: Number of the group of each photo, such as its class.
    """
    counts = Counter(groups)
    starts = {group: number for number, group in enumerate(counts)}
    ranks = dict.fromkeys(counts, 0)
    folds = []
    for group in groups:
        folds.append((starts[group] + ranks[group] * FOLDS // counts[group]) % FOLDS)
        ranks[group] += 1
    return folds


def shares_of_soft(soft: SoftMask, labels: Sequence[int], classes: int, size: tuple[int, int]) -> Array:
    """Compute the share of each class in every cell from a photo's soft mask; several labels share its foreground.

    Args:
        soft: Shape (H, W), 0 to 1.
        labels: Class indices of the photo; without any, all of it is background.
        classes: Number of classes, with background.
        size: Height and width of the grid of cells.

    Returns:
        Shape (h, w, classes), with sum 1 over the classes.
    """
    shares = np.zeros((*size, classes), np.float32)
    if labels:
        shares[..., list(labels)] = resize_soft(soft, *size)[..., np.newaxis] / len(labels)
    shares[..., BACKGROUND] = 1 - shares.sum(axis=-1)
    return shares


def shares_of_mask(mask: Mask, classes: int, size: tuple[int, int]) -> Array:
    """Compute the share of each class in every cell from a mask, class indices, shape (H, W).

    Returns:
        Shape (h, w, classes). The sum over the classes is less than 1 where pixels are ignored.
    """
    shares = np.zeros((*size, classes), np.float32)
    for one in np.flatnonzero(np.bincount(mask.ravel(), minlength=classes)[:classes]):
        shares[..., one] = resize_soft((mask == one).astype(np.float32), *size)
    return shares


@dataclass
class Moments:
    """Sums over the cells of some photos, from which a ridge regression can be computed; they can be added.

    Attributes:
        cells: Number of cells.
        features: Sum of the features, shape (C,).
        shares: Sum of the shares, shape (K,).
        products: Sum of the products of features, shape (C, C).
        cross: Sum of the products of features and shares, shape (C, K).
    """

    cells: int
    features: Array
    shares: Array
    products: Array
    cross: Array

    @classmethod
    def of(cls, features: Array, shares: Array) -> "Moments":
        """Compute the sums over the cells of one photo, shapes (h, w, C) and (h, w, K)."""
        x, y = features.reshape(-1, features.shape[-1]), shares.reshape(-1, shares.shape[-1])
        return cls(len(x), x.sum(axis=0), y.sum(axis=0), x.T @ x, x.T @ y)

    def add(self, other: "Moments") -> None:
        """Add the sums of other photos."""
        self.cells += other.cells
        for name in ("features", "shares", "products", "cross"):
            getattr(self, name)[...] += getattr(other, name)

    def solve(self) -> tuple[Array, Array]:
        """Compute coefficients, shape (C, K), and constants, shape (K,), of the ridge regression."""
        mean, mean_shares = self.features / self.cells, self.shares / self.cells
        products = self.products - np.outer(self.features, mean)
        products[np.diag_indices_from(products)] += RIDGE * self.cells
        coefficients = np.linalg.solve(products, self.cross - np.outer(self.features, mean_shares)).astype(np.float32)
        return coefficients, np.asarray(mean_shares - mean @ coefficients, np.float32)


def sum_moments(parts: Sequence[Moments]) -> Moments:
    """Return the sums over the photos of all parts, of which there is at least one."""
    total = deepcopy(parts[0])
    for part in parts[1:]:
        total.add(part)
    return total


@dataclass
class FoldMoments:
    """The sums of each fold; see :class:`Moments`."""

    folds: dict[int, Moments] = field(default_factory=dict)

    def add(self, fold: int, features: Array, shares: Array) -> None:
        """Add a photo, shapes (h, w, C) and (h, w, K)."""
        moments = Moments.of(features, shares)
        if fold in self.folds:
            self.folds[fold].add(moments)
        else:
            self.folds[fold] = moments

    def fit(self) -> "LinearModel":
        """Fit a model for each fold to the photos of the other folds; to all photos if these are the only ones."""
        fitted = []
        for fold in range(FOLDS):
            others = [moments for one, moments in self.folds.items() if one != fold]
            used = sum_moments(others or list(self.folds.values()))
            fitted.append((*used.solve(), used.shares > 0))
        return LinearModel(*(np.stack(values) for values in zip(*fitted, strict=True)))


@dataclass(frozen=True)
class LinearModel:
    """A model for each fold.

    Attributes:
        coefficients: Shape (FOLDS, C, K).
        constants: Shape (FOLDS, K).
        is_known: Whether a fold's model was fitted to a photo with a class, shape (FOLDS, K).
    """

    coefficients: Array
    constants: Array
    is_known: NDArray[np.bool_]

    def predict(self, features: Array, labels: Sequence[int], fold: int) -> SoftMask:
        """Predict the foreground of a photo.

        Args:
            features: Shape (h, w, C).
            labels: Class indices of the photo, at least one.
            fold: The fold of the photo.

        Returns:
            Shape (h, w), 0 to 1, foreground above 0.5: the mean of two soft masks, one from the share of all classes
            together, one from the share of the photo's classes without that of the others.

        Source: ours. The second mask has the idea of class activation maps (Zhou et al., "Learning deep features for
        discriminative localization", CVPR 2016): the label is evidence of where the object is.
        """
        shares = (features @ self.coefficients[fold] + self.constants[fold]).clip(0, 1)
        masks = [soften(1 - shares[..., BACKGROUND])]
        if shares.shape[-1] > 2 and self.is_known[fold, list(labels)].all():
            own = shares[..., list(labels)].sum(axis=-1)
            masks.append(soften(own / np.maximum(own + shares[..., BACKGROUND], 1e-3)))
        mean: SoftMask = np.mean(masks, axis=0, dtype=np.float32)
        return mean


def soften(share: Array) -> SoftMask:
    """Convert the share of the foreground in each cell to a soft mask, which is 0.5 at the threshold of `THRESHOLD`."""
    highest = float(np.quantile(share, HIGHEST_QUANTILE, method="higher"))
    limit = np.float32(np.clip(min(THRESHOLD, THRESHOLD_OF_HIGHEST * highest), 1e-3, 1))
    p, q = share * (1 - limit), (1 - share) * limit
    soft: SoftMask = (p / np.maximum(p + q, np.finfo(np.float32).tiny)).astype(np.float32)
    return soft


def blend(soft: SoftMask, linear: SoftMask, weight: float) -> SoftMask:
    """Return the mean of a soft mask and that of the linear model.

    The linear model has the weight ``weight * (1 - r)``, where r is its correlation with the soft mask over the cells,
    or 0 if that is negative; the soft mask has the weight 1. So a mask that the model confirms keeps its contour, which
    is finer than the cells.

    Args:
        soft: Shape (H, W), 0 to 1.
        linear: Shape (h, w) of the grid of cells, 0 to 1.
        weight: Weight of ``linear`` where the two do not correlate.

    Returns:
        Shape (H, W), 0 to 1; ``soft`` if the mean has no foreground, or if ``linear`` is constant and says nothing.

    Source: ours.
    """
    if (linear == linear.flat[0]).all():
        return soft
    cells = resize_soft(soft, *linear.shape).reshape(-1, 1)
    correlation = max(0.0, float(correlate(cells, linear.reshape(-1, 1))[0]))
    share = weight * (1 - correlation) / (1 + weight * (1 - correlation))
    mean = np.asarray(soft + np.float32(share) * (resize_soft(linear, *soft.shape) - soft), np.float32)
    return mean if (mean > 0.5).any() else soft


def correlate(first: Array, second: Array) -> Array:
    """Return the correlation of each column of two arrays, shape (N, M) each; 0 if a column is constant."""
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    scale = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    return np.asarray((first * second).sum(axis=0) / np.where(scale > 0, scale, 1), np.float32)
