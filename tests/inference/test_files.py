"""Networks applied to photo files; the CRF in batches, as on a GPU, and one by one, both computed on the CPU here."""

from dataclasses import dataclass, field

import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest
import torch

from coarse2fine.config import PredictCrfConfig
from coarse2fine.data import photos as photo_module
from coarse2fine.data.photos import read_image
from coarse2fine.data.reader import ReadOptions
from coarse2fine.errors import DataError
from coarse2fine.inference.files import predict_files
from coarse2fine.inference.segmenter import Segmenter, working_shape
from coarse2fine.runtime.processes import World

SIZES = ((40, 30), (30, 40), (1, 1), (64, 48), (40, 30), (9, 33), (40, 30))  # width, height
OFF, ON = PredictCrfConfig(), PredictCrfConfig(on=True, steps=3, max_side_px=48)


@dataclass(frozen=True)
class Brightness(Segmenter):
    """A network of two classes: bright pixels are class 1, rather unsure. Records how many photos the CRF gets."""

    batches: bool = False
    crf: PredictCrfConfig = ON
    classes: tuple[str, ...] = ("background", "a")
    size_px: int = 32
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    foreground_first: bool = True
    seen: list[int] = field(default_factory=list)

    def run_network(self, batch, shape):
        bright = 0.3 + 0.4 * (batch.mean(axis=-1) > 110).astype(np.float32)
        assert bright.shape[1:] == shape
        return np.stack([1 - bright, bright], axis=1)

    @property
    def crf_in_batches(self) -> bool:
        return self.batches

    def apply_crf(self, photos):
        self.seen.append(len(photos))
        return super().apply_crf(photos)


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for number, (width, height) in enumerate(SIZES):
        image = np.full((height, width, 3), rng.integers(0, 100, 3), np.uint8)
        image[:, width // 3 :] += 100
        PIL.Image.fromarray(image).save(tmp_path / f"{number}.png")
    return [tmp_path / f"{number}.png" for number in range(len(SIZES))]


def test_predict_files__the_crf_in_batches_as_one_by_one(photos):
    options = ReadOptions(batch_size=3, threads=2)
    alone, together = Brightness(), Brightness(batches=True)
    ones = list(predict_files(alone, photos, options))
    assert alone.seen == []
    many = list(predict_files(together, photos, options))
    assert sorted(together.seen) == [1, 3, 3]
    for one, other in zip(ones, many, strict=True):
        width, height = SIZES[one.index]
        assert one.index == other.index and one.size == other.size == (height, width)
        assert (one.probabilities == other.probabilities).all()
        assert np.abs(one.probabilities_after_crf() - other.probabilities_after_crf()).max() < 1e-6
        assert one.mask().shape == (height, width) and (one.mask() == other.mask()).all()
        assert one.mask((7, 5, 3)).shape == (7, 5)
        assert not np.array_equal(one.probabilities_after_crf().round(3), one.probabilities.round(3))
    assert sorted(one.index for one in ones) == list(range(len(SIZES)))
    assert set(alone.seen) == {1}


def test_predict_files__a_batch_larger_than_all_and_no_photo_at_all(photos):
    options = ReadOptions(batch_size=100, threads=1)
    segmenter = Brightness(batches=True)
    assert len(list(predict_files(segmenter, [photos[0]] * 9, options))) == 9
    assert segmenter.seen == [9]
    assert list(predict_files(segmenter, [], options)) == []


@pytest.mark.parametrize("batches", [False, True])
def test_predict_files__reads_ahead_only_a_little(batches, photos, monkeypatch):
    decoded = count_decodings(monkeypatch)
    predictions = predict_files(Brightness(batches=batches), [photos[0]] * 100, ReadOptions(batch_size=2, threads=2))
    for _ in range(5):
        next(predictions)
    predictions.close()
    assert len(decoded) <= 2 * (3 + 2 * 2)


def test_predict_files__a_file_that_changes_meanwhile_is_named(photos):
    predictions = predict_files(Brightness(), photos, ReadOptions(batch_size=1, threads=1))
    next(predictions)
    for path in photos:
        path.write_text("no photo any more")
    with pytest.raises(DataError, match=r"\d\.png: not an image"):
        list(predictions)


def test_crf_in_batches__only_for_a_crf_on_a_gpu(monkeypatch):
    for kind, batches in (("cpu", False), ("cuda", True)):
        monkeypatch.setattr(Segmenter, "crf_device", torch.device(kind))
        assert Segmenter.crf_in_batches.fget(Brightness()) == batches
        assert not Segmenter.crf_in_batches.fget(Brightness(crf=OFF))
    monkeypatch.setattr(Segmenter, "crf_device", None)
    assert not Segmenter.crf_in_batches.fget(Brightness())


def count_decodings(monkeypatch) -> list[object]:
    """Count calls of Pillow's decoder."""
    decoded: list[object] = []
    prepare = PIL.ImageFile.ImageFile.load_prepare

    def record(self):
        decoded.append(self)
        return prepare(self)

    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load_prepare", record)
    return decoded


def count_openings(monkeypatch) -> list[str]:
    opened: list[str] = []
    check = photo_module._check_file
    monkeypatch.setattr(photo_module, "_check_file", lambda source: opened.append(str(source)) or check(source))
    return opened


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_predict_files__one_header_and_one_decoding_for_network_crf_and_copy(ending, tmp_path, monkeypatch):
    path = tmp_path / f"a.{ending}"
    PIL.Image.new("RGB", (60, 45), (200, 10, 10)).save(path)
    decoded, opened = count_decodings(monkeypatch), count_openings(monkeypatch)
    (found,) = predict_files(Brightness(size_px=64), [path], copy_px=1600)
    assert found.mask().shape == (45, 60) and found.copy.shape == (45, 60, 3)
    assert len(decoded) == 1
    assert opened == [str(path)] * 2  # the header, to plan the batches; then the pixels


def test_predict_files__a_large_jpeg_is_decoded_once_per_reduction(tmp_path, monkeypatch):
    path = tmp_path / "a.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    PIL.Image.fromarray(noise).resize((1600, 1200)).save(path)
    segmenter = Brightness(size_px=64, crf=replace_crf(200))
    plain = next(predict_files(segmenter.with_crf(False), [path]))
    decoded = count_decodings(monkeypatch)
    (found,) = predict_files(segmenter, [path], copy_px=800)
    assert len(decoded) == 2  # an eighth for the network and the CRF, a half for the copy
    (same,) = predict_files(segmenter, [path], copy_px=200)
    assert len(decoded) == 3
    assert (found.probabilities == plain.probabilities).all()  # what is read for others changes nothing
    assert (found.mask() == same.mask()).all()
    assert found.copy.shape == (600, 800, 3) and (found.copy == read_image(path, at_least_px=800)).all()
    assert same.copy.shape == (150, 200, 3)


def replace_crf(max_side_px: int) -> PredictCrfConfig:
    return ON.model_copy(update={"max_side_px": max_side_px})


@pytest.fixture
def folder(tmp_path):
    for index, (height, width) in enumerate([(60, 80), (80, 60), (60, 80), (60, 80)]):
        image = np.zeros((height, width, 3), np.uint8)
        image[:, : width // 2] = 250
        PIL.Image.fromarray(image).save(tmp_path / f"{index}.png")
    return [tmp_path / f"{index}.png" for index in range(4)]


NETWORK = Brightness(crf=OFF, size_px=64)


def probabilities_of(paths, options, **more):
    return {one.index: one.probabilities for one in predict_files(NETWORK, paths, options, **more)}


def test_predict_files__yields_every_photo_once(folder):
    found = probabilities_of(folder, ReadOptions(batch_size=2, threads=2))
    assert sorted(found) == [0, 1, 2, 3]
    assert found[1].shape == (2, 64, 64) and found[0].shape == (2, 64, 64)


def test_predict_files__at_several_scales_a_photo_does_not_depend_on_its_neighbors(tmp_path):
    for name, height in (("a", 375), ("b", 400)):
        image = np.random.default_rng(0).integers(0, 256, (height, 500, 3), np.uint8)
        PIL.Image.fromarray(image).save(tmp_path / f"{name}.png")
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    segmenter = Interpolating(crf=OFF, size_px=320, scales=(1.0, 1.25))
    together = {one.index: one.probabilities for one in predict_files(segmenter, paths)}
    for index, path in enumerate(paths):
        alone = next(predict_files(segmenter, [path])).probabilities
        assert (together[index] == alone).all()
        image, shape = read_image(path), working_shape((375, 500), 320)
        inputs = segmenter.network_inputs(image, shape)
        assert (alone == segmenter.probabilities_at_working_size([inputs], shape)[0]).all()


class Interpolating(Brightness):
    def run_network(self, batch, shape):
        small = batch.shape[1:3]
        found = super().run_network(batch, small)
        rows, columns = (np.arange(have) * small[axis] // have for axis, have in enumerate(shape))
        return found[:, :, rows][:, :, :, columns]


def test_predict_files__processes_share_the_batches(folder):
    parts = [probabilities_of(folder, ReadOptions(batch_size=2, threads=1, world=World(rank, 2, 2))) for rank in (0, 1)]
    whole = probabilities_of(folder, ReadOptions(batch_size=2, threads=1))
    assert sorted([*parts[0], *parts[1]]) == [0, 1, 2, 3]
    assert all((own == whole[index]).all() for part in parts for index, own in part.items())


def test_predict_files__skips_batches_without_wanted_photos(folder):
    found = probabilities_of(folder, ReadOptions(batch_size=2, threads=1), wanted=lambda index: index == 3)
    assert 3 in found and 0 not in found


def test_predict_files__a_bad_photo_is_reported_or_raised(folder):
    folder[2].write_text("no photo")
    reasons = {}
    found = probabilities_of(folder, ReadOptions(batch_size=2, threads=1, on_skipped=reasons.__setitem__))
    assert sorted(found) == [0, 1, 3] and list(reasons) == [2] and reasons[2].startswith("not an image")
    with pytest.raises(DataError, match=r"2\.png: not an image"):
        probabilities_of(folder, ReadOptions(batch_size=2, threads=1))
