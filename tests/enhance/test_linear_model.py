import numpy as np
import pytest

from coarse2fine.enhance.linear_model import (
    FOLDS,
    FoldMoments,
    LinearModel,
    Moments,
    assign_folds,
    blend,
    correlate,
    shares_of_mask,
    shares_of_soft,
    soften,
)


def draw(photos: int, seed: int = 0) -> tuple[list, list, list]:
    """Photos of 8 x 8 cells with an object of class 1 or 2 on a distractor: features, objects, and labels."""
    rng, features, objects, labels = np.random.default_rng(seed), [], [], []
    for index in range(photos):
        label = 1 + index % 2
        kind = np.zeros((8, 8), int)
        kind[tuple(rng.integers(0, 5, 2))] = 3  # something that is in no soft mask on purpose
        row, column = rng.integers(0, 5, 2)
        kind[row : row + 3, column : column + 3] = label
        features.append(np.eye(4, dtype=np.float32)[kind] + rng.normal(0, 0.05, (8, 8, 4)).astype(np.float32))
        objects.append((kind == label).astype(np.float32))
        labels.append((label,))
    return features, objects, labels


def fit(features, softs, labels, folds) -> LinearModel:
    moments = FoldMoments()
    for feature, soft, own, fold in zip(features, softs, labels, folds, strict=True):
        moments.add(fold, feature, shares_of_soft(soft, own, 3, (8, 8)))
    return moments.fit()


def test_assign_folds__each_group_is_spread_and_neighbors_stay_together():
    folds = assign_folds([1] * 10 + [2] * 5 + [3])
    assert folds == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 1, 2, 3, 4, 0, 2]
    assert max(assign_folds([7] * 1000)) == FOLDS - 1


@pytest.mark.parametrize("photos_of_each", [1, 2, 3, 4])
def test_assign_folds__small_groups_fill_all_parts(photos_of_each):
    folds = assign_folds([group for group in range(20) for _ in range(photos_of_each)])
    assert [folds.count(fold) for fold in range(FOLDS)] == [4 * photos_of_each] * FOLDS
    of_group = [set(folds[start : start + photos_of_each]) for start in range(0, len(folds), photos_of_each)]
    assert all(len(one) == photos_of_each for one in of_group)


def test_shares__sum_to_1_and_several_labels_share_the_foreground():
    soft = np.array([[0.5, 1], [0, 0]], np.float32)
    np.testing.assert_allclose(shares_of_soft(soft, (1, 3), 4, (2, 2))[0, 0], [0.5, 0.25, 0, 0.25])
    np.testing.assert_allclose(shares_of_soft(soft, (), 4, (2, 2))[..., 0], 1)
    assert shares_of_soft(soft, (2,), 4, (1, 1))[0, 0, 2] == pytest.approx(0.375)


def test_shares_of_mask__ignored_pixels_belong_to_no_class():
    mask = np.array([[0, 1], [2, 255]], np.uint8)
    np.testing.assert_allclose(shares_of_mask(mask, 3, (1, 1))[0, 0], [0.25, 0.25, 0.25])


def test_moments__the_ridge_regression_of_points_on_a_line():
    x, y = np.array([[[1.0], [2.0], [3.0]]], np.float32), np.array([[[5.0], [7.0], [9.0]]], np.float32)
    coefficients, constants = Moments.of(x, y).solve()
    np.testing.assert_allclose(coefficients, [[4 / (2 + 3 * 0.003)]], rtol=1e-5)
    np.testing.assert_allclose(constants, 7 - 2 * coefficients[0], rtol=1e-5)


def test_predict__finds_objects_that_a_soft_mask_missed_from_those_of_other_photos():
    features, objects, labels = draw(40)
    softs = [0.9 * one for one in objects]
    softs[6] = np.zeros((8, 8), np.float32)  # missed
    softs[7] = np.ones((8, 8), np.float32)  # flooded
    folds = assign_folds([own[0] for own in labels])
    model = fit(features, softs, labels, folds)
    for index in (6, 7):
        found = model.predict(features[index], labels[index], folds[index]) > 0.5
        assert (found == (objects[index] > 0.5)).mean() > 0.95


def test_fit__a_photo_has_no_part_in_its_own_prediction():
    features, objects, labels = draw(20)
    folds = assign_folds([own[0] for own in labels])
    before = fit(features, objects, labels, folds).predict(features[0], labels[0], folds[0])
    wrong = [1 - one if fold == folds[0] else one for one, fold in zip(objects, folds, strict=True)]
    after = fit(features, wrong, labels, folds)
    np.testing.assert_array_equal(after.predict(features[0], labels[0], folds[0]), before)
    assert not np.allclose(after.predict(features[0], labels[0], (folds[0] + 1) % FOLDS), before)


def test_fit__a_class_without_other_photos_is_foreground_only_and_a_single_photo_predicts_itself():
    features, objects, labels = draw(11)
    labels = [(1,)] * 10 + [(2,)]
    folds = assign_folds([own[0] for own in labels])
    model = fit(features, objects, labels, folds)
    assert not model.is_known[folds[-1], 2] and model.is_known[:, 1].all()
    shares = (features[-1] @ model.coefficients[folds[-1]] + model.constants[folds[-1]]).clip(0, 1)
    np.testing.assert_allclose(model.predict(features[-1], (2,), folds[-1]), soften(1 - shares[..., 0]), rtol=1e-5)
    alone = fit(features[:1], objects[:1], labels[:1], [0]).predict(features[0], (1,), 0)
    assert ((alone > 0.5) == (objects[0] > 0.5)).mean() > 0.95


def test_soften__half_at_the_lower_of_two_limits():
    certain = np.array([[0.0, 0.5, 1.0, 1.0]], np.float32)
    np.testing.assert_allclose(soften(certain), [[0, 0.5, 1, 1]])
    unsure = np.array([[0.0, 0.14, 0.2, 0.2]], np.float32)
    np.testing.assert_allclose(soften(unsure)[0, :2], [0, 0.5], atol=1e-6)
    assert (soften(np.zeros((2, 2), np.float32)) == 0).all()


def test_blend__a_confirmed_mask_stays_and_a_contradicted_one_changes():
    linear = np.zeros((4, 4), np.float32)
    linear[1:3, 1:3] = 1
    soft = np.kron(linear, np.ones((8, 8), np.float32))
    np.testing.assert_allclose(blend(soft, linear, 10), soft, atol=1e-3)
    flooded = np.ones_like(soft)
    np.testing.assert_array_equal(blend(flooded, linear, 10)[12:20, 12:20], 1)
    assert (blend(flooded, linear, 10) > 0.5).mean() < 0.4
    assert blend(flooded, linear, 0) is not None and (blend(flooded, linear, 0) == 1).all()


def test_blend__without_any_foreground_the_mask_stays():
    soft = np.full((8, 8), 0.6, np.float32)
    np.testing.assert_array_equal(blend(soft, np.zeros((4, 4), np.float32), 10), soft)


def test_blend__a_constant_prediction_says_nothing():
    soft = np.kron(np.eye(2, dtype=np.float32), np.ones((4, 4), np.float32))
    np.testing.assert_array_equal(blend(soft, np.ones((4, 4), np.float32), 10), soft)


def test_correlate__each_column():
    first = np.array([[1, 1, 5], [2, 2, 5], [3, 3, 5]], np.float32)
    second = np.array([[2, 9, 1], [4, 5, 2], [6, 1, 3]], np.float32)
    np.testing.assert_allclose(correlate(first, second), [1, -1, 0], atol=1e-6)
