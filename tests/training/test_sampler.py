from coarse2fine.training.sampler import ResumableBatchSampler, SampleIndex


def list_batches(photos: int, batch: int, steps: range, seed: int, *processes: int) -> list[list[SampleIndex]]:
    return list(ResumableBatchSampler(photos, batch, steps, seed, *processes))


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
