"""Settings of the stages of `fit`."""

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from coarse2fine.config.base import Count, PositiveFloat, PositiveInt, Settings, Share, Weight
from coarse2fine.errors import ConfigError

Start = Literal["box", "mask", "scores"]
"""Where GrabCut starts: the mask's box, a band along its contour, or the scores it was made from."""

EMBEDDED_STUDENT = "student.safetensors"
"""The student that comes with coarse2fine; docs/student.md is its model card."""

_NOT_DINO = ("dinov2", "dinov3", "clip", "siglip")  # in names of architectures


class CoarseConfig(Settings):
    """Stage 1: where the foreground of a photo probably is, without labels."""

    method: Literal["saliency", "box", "student", "features", "folder"] = Field(
        "student",
        description="student: a network that learned without labels; saliency: robust background detection; box: "
        "centered prior; features: spectral cut of DINO's features (never measured here); folder: masks you have",
    )
    box_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8, description="box: share of the photo's width and of its height that the centered box spans"
    )
    student_weights: Path | None = Field(
        None, description="student: a file from 'coarse2fine student train'; none: the one that comes with coarse2fine"
    )
    folder: Path | None = Field(
        None, description="folder: where your masks lie, named like the photos; above 0 = object"
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["otsu"] = Field(
        "otsu", description="soft mask to binary: a number, or Otsu's threshold per photo (the paper is silent)"
    )
    max_side_px: PositiveInt = Field(320, description="saliency: longer side at which it is computed")
    features_model: str = Field(
        "vit_small_patch16_224.dino",
        description="features: a vision transformer of timm trained by DINO (v1): vit_small or vit_base, patch16 or "
        "patch8, tag .dino; the cut is known to fail on DINOv2, DINOv3, CLIP and networks trained with labels",
    )
    features_weights: str = Field(
        "pretrained", description="features: pretrained (from timm's hub), or a safetensors file in timm's names"
    )
    features_side_px: PositiveInt = Field(
        480, description="features: longer side to which photos are brought; memory grows with its fourth power"
    )
    features_pieces: Literal["seed", "all"] = Field(
        "seed", description="features: only the piece with the likeliest patch (TokenCut), or all foreground"
    )

    @model_validator(mode="after")
    def _folder_is_named(self) -> Self:
        if self.method == "folder" and self.folder is None:
            raise ConfigError("coarse.method = folder needs coarse.folder, the folder that holds your masks.")
        return self

    @property
    def has_scores(self) -> bool:
        """Whether the masks are made from soft ones, which say how likely each pixel is foreground."""
        return self.method not in ("box", "folder")

    @property
    def student_file(self) -> Path:
        """The file of the student that ``method = student`` asks."""
        return self.student_weights or Path(str(resources.files("coarse2fine") / "coarse" / EMBEDDED_STUDENT))

    @model_validator(mode="after")
    def _features_are_of_dino(self) -> Self:
        if self.method == "features" and not _is_dino(self.features_model, self.features_weights):
            raise ConfigError(
                "coarse.features_model must be a network trained by DINO, the first version: the cut is known to fail "
                f"on others; found '{self.features_model}'. Choose vit_small_patch16_224.dino, or name an "
                "architecture without a tag (vit_small_patch16_224) and, in coarse.features_weights, the file of one "
                "that you trained by DINO."
            )
        return self


class CrfConfig(Settings):
    """A fully connected CRF; the defaults are DeepLab v2's for photos of VOC."""

    steps: PositiveInt = Field(10, description="mean-field steps")
    position_weight: Weight = Field(3.0, description="how much pixels close to each other agree")
    position_sigma_px: PositiveFloat = Field(1.0, description="how close, in pixels of the photo as it is seen")
    bilateral_weight: Weight = Field(4.0, description="how much pixels of one color, not far away, agree")
    bilateral_sigma_px: PositiveFloat = Field(67.0, description="how far, in pixels of the photo as it is seen")
    color_sigma: Annotated[float, Field(ge=0.5)] = Field(
        3.0, description="how much colors may differ, of 255, in each of red, green and blue"
    )
    max_side_px: PositiveInt = Field(
        500, description="larger photos are seen reduced to this longer side (VOC's), then brought back"
    )


class PredictCrfConfig(CrfConfig):
    """A fully connected CRF after the network: masks follow the photo's edges."""

    on: bool = Field(False, description="whether masks come from it, or straight from the network's scores")

    def turned(self, on: bool | None) -> Self:
        """The same settings, on or off; none: as they are."""
        return self if on is None else self.model_copy(update={"on": on})


class EnhanceConfig(Settings):
    """Stage 2: how a rough mask becomes a sharp one."""

    method: Literal["grabcut", "crf", "box", "none"] = Field(
        "grabcut",
        description="grabcut: Rother et al. 2004; crf: a fully connected CRF, from scores wherever fit has some, else "
        "from the mask; box: the mask's bounding box, filled; none: as it is",
    )
    engine: Literal["fast", "opencv"] = Field(
        "fast", description="grabcut: fast: coarse to fine, exact cuts; opencv: the reference, 10 to 40 times slower"
    )
    start: Start = Field(
        "box",
        description="between rounds, grabcut starts from the mask's box (the paper), from a band along the mask's "
        "contour, or from the network's scores",
    )
    coarse_start: Start | Literal["auto"] = Field(
        "box",
        description="the same choice for the coarse masks; auto: scores if the coarse method gives some and the engine "
        "can weigh them, else box",
    )
    box: Literal["all", "largest"] = Field(
        "all", description="the box spans all foreground, or its largest component (the paper is silent)"
    )
    iterations: PositiveInt = Field(5, description="grabcut: rounds of color model and graph cut")
    band_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.15, description="start=mask: half width of the undecided band, as a share of the root of the mask's area"
    )
    certain_share: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        0.02, description="start=scores: below it background is certain, above its complement foreground"
    )
    score_weight: Annotated[float, Field(ge=0)] = Field(
        1.5, description="start=scores, engine=fast: weight of the scores' log odds beside those of the colors"
    )
    max_side_px: PositiveInt = Field(
        1000, description="grabcut: larger photos are cut reduced to this longer side, then brought back"
    )
    mask_certainty: Annotated[float, Field(gt=0.5, lt=1)] = Field(
        0.7, description="crf: how likely a pixel is what a mask without scores says"
    )
    between_rounds: bool = Field(True, description="enhance the refined masks before they train the next round")
    crf: CrfConfig = CrfConfig()

    @property
    def can_weigh_scores(self) -> bool:
        """Whether grabcut can start from scores."""
        return self.engine == "fast" or self.score_weight == 0

    @model_validator(mode="after")
    def _opencv_has_no_prior(self) -> Self:
        from_scores = self.method == "grabcut" and "scores" in (self.start, self.coarse_start)
        if from_scores and not self.can_weigh_scores:
            raise ConfigError(
                "OpenCV's GrabCut cannot weigh scores against colors: with enhance.start or coarse_start = scores set "
                f"enhance.score_weight to 0 (found {self.score_weight:g}) or enhance.engine to fast."
            )
        return self


class RefineConfig(Settings):
    """Masks of a round: what of the network's scores stays, and which photos go on."""

    constrain: Literal["label", "pair", "foreground"] = Field(
        "label",
        description="label: pixels whose likeliest class is the label (the paper); pair: the label beats background; "
        "foreground: whatever the class, foreground is likelier than refine.threshold",
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="constrain=foreground: how likely foreground must be, 0 to 1"
    )
    min_share: Share = Field(0.01, description="a mask below this share of its photo leaves the next round")
    max_share: Share = Field(0.80, description="a mask above this share of its photo leaves the next round")
    drop_worst: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="this share of each class, the photos of least quality (quality.csv), leaves the next round"
    )
    flip: bool = Field(False, description="average the scores with those of the mirrored photo")
    scales: tuple[PositiveFloat, ...] = Field((1.0,), min_length=1, description="average the scores over these scales")

    @model_validator(mode="after")
    def _limits_are_ordered(self) -> Self:
        if self.min_share >= self.max_share:
            raise ConfigError(
                f"refine.min_share must be below refine.max_share, found {self.min_share} and {self.max_share}."
            )
        return self


class NetworkConfig(Settings):
    """The segmentation network."""

    name: Literal["deeplabv2", "deeplabv3plus", "fpn", "dfpn"] = Field(
        "deeplabv3plus",
        description="decoder on top of the encoder; fpn and dfpn are those of the paper's foreground task",
    )
    encoder: str = Field("resnet101", description="any encoder of segmentation-models-pytorch or timm")
    encoder_weights: str = Field(
        "imagenet", description="imagenet (fetched from the hub), none, or a safetensors file in the encoder's names"
    )
    output_stride: Literal[8, 16, 32] = Field(
        16, description="how much smaller the deepest features are than the photo; deeplabv2: 8 (the paper)"
    )
    decoder_channels: PositiveInt = Field(
        256, description="deeplabv3plus: width of ASPP and decoder; fpn, dfpn: of the pyramid"
    )
    rates: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        (6, 12, 18), description="dfpn: dilations of the three convolutions of a branch (the paper is silent)"
    )
    scales: tuple[PositiveFloat, ...] = Field(
        (1.0,),
        min_length=1,
        description="the network sees a photo at these scales and keeps each pixel's highest scores, with a loss on "
        "each scale beside theirs; DeepLab v2: 0.5 0.75 1",
    )
    freeze_batch_norm: bool = Field(False, description="keep the encoder's batch norm statistics and weights fixed")
    frozen_stages: Count = Field(0, description="this many first stages of the encoder do not train")

    @model_validator(mode="after")
    def _deeplabv2_has_one_stride(self) -> Self:
        if self.name == "deeplabv2" and self.output_stride != 8:
            raise ConfigError(f"deeplabv2 needs network.output_stride = 8, found {self.output_stride}.")
        return self


class StreamConfig(Settings):
    """What every training needs to know."""

    batch: PositiveInt = Field(12, description="photos per step, over all processes")
    average_decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="decay per step of the moving average of the weights that predicts; 0: the last weights"
    )
    precision: Literal["auto", "bf16", "fp32"] = Field("auto", description="auto: bf16 where the processor has it")
    loader_workers: Count | None = Field(None, description="processes that prepare photos; none: chosen by cores")
    checkpoint_photos: PositiveInt = Field(
        2000, description="a checkpoint after this many photos: the most that a kill can cost"
    )


class TrainConfig(StreamConfig):
    """One round of training."""

    epochs: tuple[PositiveInt, ...] = Field(
        (3,), min_length=1, description="epochs of rounds 1, 2, ...; the last number holds for all further rounds"
    )
    start: Literal["fresh", "warm"] = Field(
        "fresh", description="each round's network starts from the encoder weights, or from the round before"
    )
    resize_px: PositiveInt = Field(321, description="photos are brought to this size before cropping")
    keep_aspect: bool = Field(False, description="resize_px is the longer side; otherwise both sides (the paper)")
    crop_px: PositiveInt = Field(256, description="side of the random square crop")
    scale_jitter: tuple[PositiveFloat, PositiveFloat] = Field((1.0, 1.0), description="random zoom before the crop")
    flip: bool = Field(True, description="mirror every second photo")
    color_jitter: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="strength of random brightness, contrast and saturation"
    )
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="sgd has momentum 0.9")
    learning_rate: PositiveFloat = Field(0.00025, description="of the encoder, at the start")
    head_learning_rate_factor: PositiveFloat = Field(10.0, description="decoder and head learn this much faster")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0005, description="on weights, not on biases and norms")
    poly_power: PositiveFloat = Field(0.9, description="the rate falls as (1 - step / steps) ** this")
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the steps over which the rate rises from 0"
    )


class PredictConfig(Settings):
    """The finished network on any photo."""

    size_px: PositiveInt | None = Field(
        None, description="longer side at which the network sees a photo; none: as in training; masks come at full size"
    )
    flip: bool = Field(True, description="average the scores with those of the mirrored photo")
    scales: tuple[PositiveFloat, ...] = Field((1.0,), min_length=1, description="average the scores over these scales")
    batch: PositiveInt = Field(8, description="photos per step")
    crf: PredictCrfConfig = PredictCrfConfig()


def _is_dino(model: str, weights: str) -> bool:
    """Whether timm's name says that a network was trained by DINO (v1), or leaves it to the file of its weights."""
    architecture, _, tag = model.partition(".")
    if any(other in architecture for other in _NOT_DINO):
        return False
    return tag == "dino" or (not tag and weights != "pretrained")
