"""Images as users have them (NumPy or torch; one, a batch or a list) to RGB arrays, and results back to the same form.

Never imports torch: a tensor can only be passed by a program that imported torch itself.
"""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from coarse2fine.errors import DataError
from coarse2fine.masks.image_check import describe_other
from coarse2fine.types import Image

if TYPE_CHECKING:
    import torch

Images = TypeVar("Images", "NDArray[Any]", "torch.Tensor", "list[NDArray[Any]]", "list[torch.Tensor]")
"""One image, a batch of images of one size, or a list of images of different sizes; see `to_images`."""

Restore = Callable[[Sequence[NDArray[Any]]], Any]


def to_images(images: object) -> tuple[list[Image], Restore]:
    """Convert images in any supported form to RGB arrays.

    Args:
        images: RGB. NumPy: uint8, shape (H, W, 3) or (N, H, W, 3). torch: uint8, or floating point from 0 to 1, shape
            (3, H, W) or (N, 3, H, W). Or a list of single images of different sizes.

    Returns:
        The images, shape (H, W, 3) each, and a function that puts one result per image, an array, into the form of
        ``images``: an array for an array, a tensor on the same device for a tensor, stacked for a batch, a list for a
        list. Integer results for tensors are int64, the type of class indices in torch (torch takes a uint8 index for
        a mask).

    Raises:
        DataError: The type, shape or range is none of these.
    """
    if isinstance(images, list | tuple):
        return _from_list(images)
    if isinstance(images, np.ndarray):
        batch = _check_array(images)
        to_result: Callable[[NDArray[Any]], Any] = _same
    elif _is_tensor(images):
        batch, to_result = _from_tensor(images), _to_tensor_like(images)
    else:
        raise DataError(
            f"Images must be NumPy arrays, torch tensors, or a list of these, found {type(images).__name__}; read a "
            "file with coarse2fine.read_image."
        )
    if batch.ndim == 3:
        return [batch], lambda results: to_result(results[0])
    return list(batch), lambda results: to_result(np.stack(results))


def _from_list(images: Sequence[object]) -> tuple[list[Image], Restore]:
    converted = [to_images(image) for image in images]
    for number, (arrays, _) in enumerate(converted):
        if len(arrays) != 1 or getattr(images[number], "ndim", 0) != 3:
            raise DataError(f"A list of images must hold single images, but item {number} is not one; pass each alone.")
    restores = [restore for _, restore in converted]
    return (
        [arrays[0] for arrays, _ in converted],
        lambda results: [restore([result]) for restore, result in zip(restores, results, strict=True)],
    )


def _check_array(images: NDArray[Any]) -> NDArray[np.uint8]:
    one = images[0] if images.ndim == 4 and len(images) else images
    if describe_other(one):
        _, _, hint = (describe_other(one) or "").partition("; ")
        raise DataError(
            f"A NumPy image must be 8-bit RGB, shape (H, W, 3) or (N, H, W, 3), found {images.dtype} {images.shape}"
            f"{'; ' if hint else ''}{hint}."
        )
    return images


def _is_tensor(images: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(images, torch.Tensor)


def _from_tensor(images: Any) -> NDArray[np.uint8]:
    shape = tuple(images.shape)
    is_float, is_uint8 = images.is_floating_point(), str(images.dtype) == "torch.uint8"
    if not (is_float or is_uint8) or len(shape) not in (3, 4) or shape[-3] != 3 or 0 in shape:
        raise DataError(
            "A torch image must be RGB, uint8 or floating point, shape (3, H, W) or (N, 3, H, W), found "
            f"{images.dtype} {shape}."
        )
    array: NDArray[Any] = images.detach().movedim(-3, -1).cpu().contiguous().numpy()
    if is_float:
        if array.size and not (array.min() >= 0 and array.max() <= 1):  # also refuses not-a-number
            raise DataError(
                f"A floating-point image must have values from 0 to 1, found {array.min():g} to {array.max():g}; pass "
                "the image before it is normalized."
            )
        array = np.rint(array * 255).astype(np.uint8)
    return array


def _to_tensor_like(images: Any) -> Callable[[NDArray[Any]], Any]:
    torch = sys.modules["torch"]

    def convert(result: NDArray[Any]) -> Any:
        tensor = torch.from_numpy(np.ascontiguousarray(result)).to(images.device)
        return tensor if tensor.is_floating_point() else tensor.long()

    return convert


def _same(result: NDArray[Any]) -> NDArray[Any]:
    return result
