"""Stage 3: a segmentation network, trained on the masks of a round."""

from collections.abc import Mapping

from coarse2fine.corrections.review import describe_rejected
from coarse2fine.errors import DataError
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.networks.build import build_network
from coarse2fine.networks.segmentation import SegmentationNetwork
from coarse2fine.networks.weights import load_weights, save_weights
from coarse2fine.pipeline.job import FitJob, title_of
from coarse2fine.pipeline.time_estimate import TrainingWatch
from coarse2fine.runtime.seeds import seed_of, torch_seed
from coarse2fine.store.fingerprints import training_settings
from coarse2fine.store.stages import Stage, run_stage
from coarse2fine.training.loop import train
from coarse2fine.training.segmentation import SegmentationJob


def run_train_stage(
    job: FitJob, number: int, masks: Stage, left_out: Mapping[str, str], length_of: int | None = None
) -> tuple[Stage, TorchSegmenter]:
    """Train the network of a round.

    Args:
        job: The run.
        number: The round, from 1.
        masks: The stage that wrote the training masks.
        left_out: Names of photos that do not train, with the reason.
        length_of: The round whose number of optimizer steps is used; default: ``number``.

    Returns:
        The stage, and the trained network with size, flip and scales of ``[predict]``, without CRF.

    Raises:
        DataError: No photo with a label is left to train on.
    """
    config = job.config
    photos = [photo for photo in job.photos if photo.name not in left_out]
    if not any(photo.labels for photo in photos):
        raise DataError(_explain_no_photos(job, left_out))
    steps = config.train.count_round_steps(len(photos), length_of or number, len(job.dataset.classes) - 1)
    settings = training_settings(config, number, steps) | describe_rejected(job.rejected)
    stage = Stage(job.run.training(number), title_of(number, "training"), settings, (masks.key,))
    network = _initialize(job, number, stage.is_done())

    def work() -> dict[str, object]:
        training = SegmentationJob(
            encoder=config.network.encoder,
            photos=photos,
            masks=masks.folder,
            config=config.train,
            steps=steps,
            seed=seed_of(config.seed, number),
            folder=stage.folder,
            title=stage.title,
        )
        loss = train(network, training, job.context, TrainingWatch(job, number, len(photos)))
        if job.context.is_main:
            save_weights(network, job.run.weights(number))
        return {"loss": round(loss, 5), "photos": len(photos)}

    run_stage(stage, job.context, work)
    load_weights(network, job.run.weights(number))  # in every process: each has its own batch norm statistics
    segmenter = TorchSegmenter(
        network,
        job.dataset.classes,
        config.network,
        config.view_px,
        flip=config.predict.flip,
        scales=config.predict.scales,
        foreground_first=config.predict.foreground_first,
        precision=config.train.precision,
    )
    return stage, segmenter.to()


def _explain_no_photos(job: FitJob, left_out: Mapping[str, str]) -> str:
    """Return the error message for a first round without photos; later rounds keep half of them, or the run ends."""
    rejected = sum(name in left_out for name in job.rejected)
    return (
        f"Round 1 needs at least one photo to train on, but all {len(job.labeled)} were left out (reasons: "
        f"{job.run.filter_file(0)}): {len(left_out) - rejected} because their coarse mask is empty (masks: "
        f"{job.run.enhanced(0)}), {rejected} because they were rejected in review. Choose another coarse.method, or "
        "take back rejections in coarse2fine app."
    )


def _initialize(job: FitJob, number: int, is_trained: bool) -> SegmentationNetwork:
    """Build the network of a round, with the weights it starts from; with any weights if it is trained already."""
    config, is_warm = job.config.network, number > 1 and job.config.train.start == "warm"
    if is_trained or is_warm:  # the weights of a file replace all others
        config = config.model_copy(update={"encoder_weights": "none"})
    with torch_seed(job.config.seed, number, 0):
        network = build_network(config, len(job.dataset.classes))
    if is_warm and not is_trained:
        load_weights(network, job.run.weights(number - 1))
    return network
