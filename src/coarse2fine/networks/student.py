"""Students: small networks that learn soft foreground masks from scratch, and the judge of their masks.

Each takes RGB photos, 0 to 1, shape (N, 3, H, W), and gives soft masks, shape (N, h, w). Further channels are made from
RGB within the network, so that an exported one needs nothing else.

Sources: Croitoru, Bogolin, Leordeanu, "Unsupervised learning from video to detect foreground objects in single
images", ICCV 2017 (`LowResNet`), and "Unsupervised learning of foreground object segmentation", IJCV 2019 (`UNet` with
dilations, `EvalSegNet`).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from coarse2fine.config import StudentNetworkConfig

LOW_RES_INPUT_PX = 128
LOW_RES_MASK_PX = 32
LUMA = (0.299, 0.587, 0.114)
UNET_STRIDE = 8
BOTTLENECK_DILATIONS = (1, 2, 4, 8, 16, 32)


class LowResNet(nn.Module):
    """The first student: three branches, seven convolutions and one fully connected layer on the longest path.

    78.1 million parameters at width 1, nearly all of them in the last layer.

    Args:
        width: Multiplies the channels of every convolution.

    Source: ICCV 2017, section 4.1 and figure 3.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        wide, last = max(1, round(256 * width)), max(1, round(64 * width))
        self.branches = nn.ModuleList(
            nn.Sequential(*_layer(channels, wide, 3), *_layer(wide, wide, 5), nn.MaxPool2d(2)) for channels in (3, 2, 1)
        )
        self.trunk = nn.Sequential(
            *_layer(3 * wide, wide, 3),
            *_layer(wide, wide, 5),
            nn.MaxPool2d(2),
            *_layer(wide, wide, 3),
            *_layer(wide, wide, 5),
            *_layer(wide, last, 5),
        )
        self.whole = nn.Linear(last * (LOW_RES_INPUT_PX // 4) ** 2, LOW_RES_MASK_PX**2)

    def forward(self, images: Tensor) -> Tensor:
        """Soft masks, shape (N, 32, 32), not below 0, of RGB photos, shape (N, 3, 128, 128)."""
        parts = zip(self.branches, (images, find_gradients(images), find_hue(images)), strict=True)
        features = self.trunk(torch.cat([branch(part) for branch, part in parts], dim=1))
        return functional.relu(self.whole(features.flatten(1))).reshape(-1, LOW_RES_MASK_PX, LOW_RES_MASK_PX)


class UNet(nn.Module):
    """Features at strides 2, 4 and 8, and back to stride 2; plain, or with dilations at the bottleneck.

    Where the paper is silent: strides and channels are chosen for two CPU cores, with batch norm, and the network is
    told where in the photo it looks, which the fully connected layer of `LowResNet` knows by itself: objects stand in
    the middle more often than not.

    Args:
        channels: At stride 2; twice and four times as many at strides 4 and 8.
        dilations: Of the convolutions that follow each other at the bottleneck; their sum goes on. None: a plain U-Net.

    Source: IJCV 2019, section 3.2, "Dilate U-Net" with `BOTTLENECK_DILATIONS`, the best of its students.
    """

    def __init__(self, channels: int = 32, dilations: Sequence[int] = ()) -> None:
        super().__init__()
        half, quarter, eighth = channels, 2 * channels, 4 * channels
        self.stem = nn.Sequential(*_normed(8, half, stride=2), *_normed(half, half))
        self.down = nn.ModuleList([_double(half, quarter), _double(quarter, eighth)])
        self.bottleneck = nn.ModuleList(nn.Sequential(*_normed(eighth, eighth, dilation=rate)) for rate in dilations)
        self.up = nn.ModuleList([_double(eighth + quarter, quarter), _double(quarter + half, half)])
        self.head = nn.Conv2d(half, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Soft masks, 0 to 1, shape (N, H / 2, W / 2), of RGB photos, shape (N, 3, H, W), sides multiples of 8."""
        parts = [images, find_gradients(images), find_hue(images), find_positions(images)]
        levels = [self.stem(2 * torch.cat(parts, dim=1) - 1)]
        for block in self.down:
            levels.append(block(functional.max_pool2d(levels[-1], 2)))
        deep = levels.pop()
        if self.bottleneck:
            parts = [deep]
            for layer in self.bottleneck:
                parts.append(layer(parts[-1]))
            deep = torch.stack(parts).sum(dim=0)
        for block in self.up:
            finer = levels.pop()
            enlarged = functional.interpolate(deep, finer.shape[-2:], mode="bilinear", align_corners=False)
            deep = block(torch.cat([enlarged, finer], dim=1))
        return torch.sigmoid(self.head(deep).float()).squeeze(1)


class EvalSegNet(nn.Module):
    """Predicts how good a soft mask is, from the photo and the mask alone.

    Where the paper is silent: four convolutions of stride 2, then the mean over the photo.

    Args:
        channels: Of the first convolution; each further one has twice as many.

    Source: IJCV 2019, section 3.3.
    """

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        sizes = [7, channels, 2 * channels, 4 * channels, 8 * channels]
        self.features = nn.Sequential(*(nn.Sequential(*_normed(few, many, stride=2)) for few, many in pairwise(sizes)))
        self.head = nn.Linear(8 * channels, 1)

    def forward(self, images: Tensor, soft: Tensor) -> Tensor:
        """Probabilities, 0 to 1, shape (N,), of RGB photos, shape (N, 3, H, W), with soft masks, shape (N, h, w)."""
        masks = functional.interpolate(soft[:, None], images.shape[-2:], mode="bilinear", align_corners=False)
        features = self.features(2 * torch.cat([images, masks, find_hsv(images)], dim=1) - 1)
        return torch.sigmoid(self.head(features.float().mean(dim=(2, 3)))).squeeze(1)


def build_student(config: StudentNetworkConfig) -> nn.Module:
    """Make an untrained student of the shape that the settings name."""
    if config.shape == "lowres":
        return LowResNet(config.width)
    channels = max(1, round(32 * config.width))
    return UNet(channels, BOTTLENECK_DILATIONS if config.shape == "dilated" else ())


def find_gradients(images: Tensor) -> Tensor:
    """Central differences of gray along y and x, from -0.5..0.5 to 0..1; shape (N, 2, H, W)."""
    gray = (images * images.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)
    padded = functional.pad(gray, (1, 1, 1, 1), mode="replicate")
    along_y = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    along_x = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    return torch.cat([along_y, along_x], dim=1) / 2 + 0.5


def find_positions(images: Tensor) -> Tensor:
    """How far down and how far right each pixel lies, 0 to 1; shape (N, 2, H, W)."""
    height, width = images.shape[-2:]
    down = torch.linspace(0, 1, height, device=images.device, dtype=images.dtype)[:, None].expand(height, width)
    right = torch.linspace(0, 1, width, device=images.device, dtype=images.dtype)[None, :].expand(height, width)
    return torch.stack([down, right]).expand(len(images), 2, height, width)


def find_hue(images: Tensor) -> Tensor:
    """Hue, 0 to 1, of RGB from 0 to 1; 0 for gray; shape (N, 1, H, W)."""
    red, green, blue = images[:, :1], images[:, 1:2], images[:, 2:]
    top, spread = _find_top_and_spread(images)
    sector = torch.where(
        top == red,
        (green - blue) / spread,
        torch.where(top == green, 2 + (blue - red) / spread, 4 + (red - green) / spread),
    )
    return (sector / 6).remainder(1)


def find_hsv(images: Tensor) -> Tensor:
    """Hue, saturation and value, each 0 to 1, of RGB from 0 to 1; shape (N, 3, H, W)."""
    top, _ = _find_top_and_spread(images)
    saturation = torch.where(top > 0, (top - images.amin(dim=1, keepdim=True)) / top.clamp(min=1e-6), 0)
    return torch.cat([find_hue(images), saturation, top], dim=1)


def _find_top_and_spread(images: Tensor) -> tuple[Tensor, Tensor]:
    top = images.amax(dim=1, keepdim=True)
    spread = top - images.amin(dim=1, keepdim=True)
    return top, torch.where(spread > 0, spread, 1)


def _layer(few: int, many: int, side: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(few, many, side, padding=side // 2), nn.ReLU()


def _normed(few: int, many: int, stride: int = 1, dilation: int = 1) -> tuple[nn.Module, nn.Module, nn.Module]:
    convolution = nn.Conv2d(few, many, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)
    return convolution, nn.BatchNorm2d(many), nn.ReLU()


def _double(few: int, many: int) -> nn.Sequential:
    return nn.Sequential(*_normed(few, many), *_normed(many, many))
