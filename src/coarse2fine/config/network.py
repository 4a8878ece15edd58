"""Settings of the segmentation network."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from coarse2fine.config.base import Count, Role, Scales, Settings
from coarse2fine.errors import ConfigError


class NetworkConfig(Settings):
    """The segmentation network: an encoder and a decoder."""

    name: Literal["deeplabv2", "deeplabv3plus", "fpn", "dfpn"] = Field(
        "deeplabv3plus",
        description="decoder; deeplabv2: the paper's; dfpn: the paper's for --task foreground, fpn: its baseline",
    )
    encoder: str = Field(
        "mobilenetv2_100",
        max_length=100,
        description="encoder by its name in segmentation-models-pytorch or timm, such as resnet101",
    )
    encoder_weights: Annotated[str, Role.FILE] = Field(
        "imagenet",
        description="imagenet (downloaded from the hub), none (random), or a safetensors file with the encoder's "
        "parameter names",
    )
    output_stride: Literal[8, 16, 32] = Field(
        16, description="size of the photo divided by that of the deepest features; deeplabv2 needs 8"
    )
    decoder_channels: Annotated[int, Field(gt=0, le=4096)] = Field(
        128, description="channels of the decoder; deeplabv2 does not use it"
    )
    scales: Scales = Field(
        (1.0,),
        description="the network computes a photo at all of these scales, keeps the largest logits of each pixel, and "
        "trains with one loss per scale and one for the result; DeepLab v2 has 0.5 0.75 1",
    )
    freeze_batch_norm: bool = Field(True, description="do not train the batch norms of the encoder")
    frozen_stages: Count = Field(2, description="number of first stages of the encoder that are not trained")

    @model_validator(mode="after")
    def _deeplabv2_has_one_stride(self) -> Self:
        if self.name == "deeplabv2" and self.output_stride != 8:
            raise ConfigError(f"network.name = deeplabv2 needs network.output_stride = 8; found {self.output_stride}.")
        return self
