"""Student networks, which predict soft foreground masks, and EvalSeg-Net, which predicts the quality of such masks.

A student takes RGB images, 0 to 1, shape (N, 3, H, W), and returns soft masks, shape (N, h, w). Further channels are
computed from RGB inside the network, so that an exported network needs RGB only.

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
BOTTLENECK_DILATIONS = (1, 2, 4, 8, 16, 32)


class LowResNet(nn.Module):
    """LowRes-Net: three branches, with seven convolutions and one fully connected layer on the longest path.

    It has 78.1 million parameters at width 1, nearly all of them in the last layer.

    Args:
        width: Factor of the number of channels of every convolution.

    Source: ICCV 2017, section 4.1 and figure 3.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        channels, last = max(1, round(256 * width)), max(1, round(64 * width))
        self.branches = nn.ModuleList(
            nn.Sequential(*_layer(inputs, channels, 3), *_layer(channels, channels, 5), nn.MaxPool2d(2))
            for inputs in (3, 2, 1)
        )
        self.trunk = nn.Sequential(
            *_layer(3 * channels, channels, 3),
            *_layer(channels, channels, 5),
            nn.MaxPool2d(2),
            *_layer(channels, channels, 3),
            *_layer(channels, channels, 5),
            *_layer(channels, last, 5),
        )
        self.whole = nn.Linear(last * (LOW_RES_INPUT_PX // 4) ** 2, LOW_RES_MASK_PX**2)

    def forward(self, images: Tensor) -> Tensor:
        """Predict soft masks, shape (N, 32, 32), 0 or more, of RGB images, shape (N, 3, 128, 128)."""
        parts = zip(self.branches, (images, compute_gradients(images), compute_hue(images)), strict=True)
        features = self.trunk(torch.cat([branch(part) for branch, part in parts], dim=1))
        return functional.relu(self.whole(features.flatten(1))).reshape(-1, LOW_RES_MASK_PX, LOW_RES_MASK_PX)


class UNet(nn.Module):
    """U-Net with features at strides 2, 4 and 8, optionally with dilated convolutions at the bottleneck.

    The paper does not specify strides and channels; here they are chosen for two CPU cores. Batch norm is added, and
    the pixel coordinates are an input, because objects are often in the middle of a photo. (The fully connected layer
    of `LowResNet` can learn positions without them.)

    Args:
        channels: Channels at stride 2; there are twice and four times as many at strides 4 and 8.
        dilations: Dilations of the sequence of convolutions at the bottleneck; the outputs of all of them are summed.
            Empty: a plain U-Net.

    Source: IJCV 2019, section 3.2, "Dilate U-Net" with `BOTTLENECK_DILATIONS`, the best student there.
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
        """Predict soft masks, 0 to 1, shape (N, H / 2, W / 2), of RGB images, shape (N, 3, H, W).

        H and W must be multiples of 8.
        """
        parts = [images, compute_gradients(images), compute_hue(images), compute_positions(images)]
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
    """EvalSeg-Net: predicts the quality of a soft mask from the image and the mask.

    The paper does not specify the layers; here they are four convolutions of stride 2 and the mean over all pixels.

    Args:
        channels: Channels of the first convolution; the number doubles with each further convolution.

    Source: IJCV 2019, section 3.3.
    """

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        sizes = [7, channels, 2 * channels, 4 * channels, 8 * channels]
        self.features = nn.Sequential(*(nn.Sequential(*_normed(few, many, stride=2)) for few, many in pairwise(sizes)))
        self.head = nn.Linear(8 * channels, 1)

    def forward(self, images: Tensor, soft: Tensor) -> Tensor:
        """Predict quality scores, 0 to 1, shape (N,), of soft masks, shape (N, h, w), of images, shape (N, 3, H, W)."""
        masks = functional.interpolate(soft[:, None], images.shape[-2:], mode="bilinear", align_corners=False)
        features = self.features(2 * torch.cat([images, masks, compute_hsv(images)], dim=1) - 1)
        return torch.sigmoid(self.head(features.float().mean(dim=(2, 3)))).squeeze(1)


def build_student(config: StudentNetworkConfig) -> nn.Module:
    """Build an untrained student network."""
    if config.shape == "lowres":
        return LowResNet(config.width)
    channels = max(1, round(32 * config.width))
    return UNet(channels, BOTTLENECK_DILATIONS if config.shape == "dilated" else ())


def compute_gradients(images: Tensor) -> Tensor:
    """Compute central differences of gray along y and x, scaled from -0.5..0.5 to 0..1, shape (N, 2, H, W)."""
    gray = (images * images.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)
    padded = functional.pad(gray, (1, 1, 1, 1), mode="replicate")
    along_y = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    along_x = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    return torch.cat([along_y, along_x], dim=1) / 2 + 0.5


def compute_positions(images: Tensor) -> Tensor:
    """Compute the y and x coordinate of each pixel, 0 to 1, shape (N, 2, H, W)."""
    height, width = images.shape[-2:]
    down = torch.linspace(0, 1, height, device=images.device, dtype=images.dtype)[:, None].expand(height, width)
    right = torch.linspace(0, 1, width, device=images.device, dtype=images.dtype)[None, :].expand(height, width)
    return torch.stack([down, right]).expand(len(images), 2, height, width)


def compute_hue(images: Tensor) -> Tensor:
    """Compute the hue, 0 to 1 (0 for gray), of RGB images, 0 to 1; return shape (N, 1, H, W)."""
    red, green, blue = images[:, :1], images[:, 1:2], images[:, 2:]
    top, spread = _max_and_range(images)
    sector = torch.where(
        top == red,
        (green - blue) / spread,
        torch.where(top == green, 2 + (blue - red) / spread, 4 + (red - green) / spread),
    )
    return (sector / 6).remainder(1)


def compute_hsv(images: Tensor) -> Tensor:
    """Compute hue, saturation and value, each 0 to 1, of RGB images, 0 to 1; return shape (N, 3, H, W)."""
    top, _ = _max_and_range(images)
    saturation = torch.where(top > 0, (top - images.amin(dim=1, keepdim=True)) / top.clamp(min=1e-6), 0)
    return torch.cat([compute_hue(images), saturation, top], dim=1)


def _max_and_range(images: Tensor) -> tuple[Tensor, Tensor]:
    top = images.amax(dim=1, keepdim=True)
    spread = top - images.amin(dim=1, keepdim=True)
    return top, torch.where(spread > 0, spread, 1)


def _layer(inputs: int, outputs: int, side: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, side, padding=side // 2), nn.ReLU()


def _normed(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> tuple[nn.Module, nn.Module, nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU()


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*_normed(inputs, outputs), *_normed(outputs, outputs))
