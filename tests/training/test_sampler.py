from collections import Counter

import numpy as np

from coarse2fine.training.sampler import ResumableBatchSampler, SampleIndex, balance_classes, draw_photos

ONE_OF_FIVE = [(1,), (2,), (2,), (2,), (2,)]
"""Labels of five photos: one of class 1, four of class 2."""


def list_batches(photos: int, batch: int, steps: range, seed: int, *others: object) -> list[list[SampleIndex]]:
    return list(ResumableBatchSampler(photos, batch, steps, seed, *others))


def test_resumable_batch_sampler__every_photo_once_per_epoch():
    indices = [index for batch in list_batches(5, 2, range(5), 3) for index in batch]
    assert [index.epoch for index in indices] == [0] * 5 + [1] * 5
    for epoch in (0, 1):
        assert sorted(index.photo for index in indices if index.epoch == epoch) == [0, 1, 2, 3, 4]


def test_resumable_batch_sampler__continues_at_any_step():
    assert list_batches(5, 2, range(3, 7), 3) == list_batches(5, 2, range(7), 3)[3:]
    assert list_batches(5, 2, range(4), 3) != list_batches(5, 2, range(4), 4)


def test_resumable_batch_sampler__processes_share_each_batch():
    whole = list_batches(6, 4, range(3), 1)
    parts = [list_batches(6, 4, range(3), 1, rank, 2) for rank in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert sorted(batch) == sorted(first + second)
        assert len(first) == len(second) == 2


def test_resumable_batch_sampler__batches_are_full_even_with_one_photo():
    assert [len(batch) for batch in list_batches(1, 4, range(2), 0)] == [4, 4]


def test_resumable_batch_sampler__order_of_balanced_classes_is_that_of_the_generator():
    indices = [index for batch in list_batches(5, 5, range(2), 3) for index in batch]
    expected = [(epoch, photo) for epoch in (0, 1) for photo in np.random.default_rng((3, epoch)).permutation(5)]
    assert [index.seed_parts() for index in indices] == expected


def test_resumable_batch_sampler__frequencies_are_kept_over_the_epochs():
    frequencies = balance_classes(ONE_OF_FIVE)
    indices = [index for batch in list_batches(5, 5, range(300), 3, 0, 1, frequencies) for index in batch]
    counts = Counter(index.photo for index in indices)
    assert [round(counts[photo] / 300, 1) for photo in range(5)] == [1.7, 0.8, 0.8, 0.8, 0.8]
    assert len(set(indices)) == len(indices), "a repeated photo has another augmentation"
    assert (
        list_batches(5, 2, range(3, 9), 3, 0, 1, frequencies) == list_batches(5, 2, range(9), 3, 0, 1, frequencies)[3:]
    )


def test_balance_classes__square_root():
    np.testing.assert_allclose(balance_classes(ONE_OF_FIVE), [5 / 3, 5 / 6, 5 / 6, 5 / 6, 5 / 6])
    assert balance_classes([(1,), (1,), (2,), (2,)]) is None


def test_balance_classes__smallest_class_of_several_labels_counts():
    frequencies = balance_classes([(1, 2), (2,), (2,), (2,)])
    np.testing.assert_allclose(frequencies, [4 * 2 / 5, 4 / 5, 4 / 5, 4 / 5])


def test_balance_classes__a_photo_is_drawn_at_most_four_times_as_often_as_others():
    frequencies = balance_classes([(1,), *[(2,)] * 36])
    assert frequencies[0] / frequencies[1] == 4


def test_balance_classes__photos_without_a_label_are_a_class():
    np.testing.assert_allclose(balance_classes([(), (1,), (1,), (1,), (1,)]), balance_classes(ONE_OF_FIVE))


def test_draw_photos__rounds_up_or_down():
    frequencies = np.array([2.5, 0.5, 0.5, 0.5])
    assert draw_photos(frequencies, 0.0).tolist() == [0, 0, 0, 2]
    assert draw_photos(frequencies, 0.6).tolist() == [0, 0, 1, 3]
    assert draw_photos(np.ones(3), 0.9).tolist() == [0, 1, 2]


def test_sample_index__seeds_of_the_first_draw_are_epoch_and_photo():
    assert SampleIndex(2, 7).seed_parts() == (2, 7)
    assert SampleIndex(2, 7, 1).seed_parts() == (2, 7, 1)
