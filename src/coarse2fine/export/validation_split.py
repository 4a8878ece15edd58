"""Choose the photos of an export for validation."""

from collections.abc import Sequence

from coarse2fine.data.class_folders import hash_text

DEFAULT_SHARE = 0.1


def choose_validation(names: Sequence[str], scores: Sequence[float | None], share: float) -> frozenset[str]:
    """Choose the photos for validation, the same ones in every call.

    The photos are cut into consecutive blocks of equal size, and one photo of each block is chosen. Sorted names begin
    with the class, so that the classes have nearly equal shares. Doubtful masks must not decide how good a network is:
    the choice is among the photos with the upper half of the scores of a block, by a hash of the name.

    Args:
        names: Names of the photos, in the order of the export.
        scores: Quality scores of their masks, 0 to 1; 1 for masks that people corrected. None counts as 0.
        share: Share of the photos to choose, 0 to 1.

    Returns:
        Names of the chosen photos: at least one, and not all. Empty if ``share`` is 0 or there is only one photo.
    """
    count = min(max(round(share * len(names)), 1), len(names) - 1) if share else 0
    chosen = set()
    for block in range(count):
        members = range(block * len(names) // count, (block + 1) * len(names) // count)
        ranked = sorted(members, key=lambda index: -(scores[index] or 0.0))
        lowest = scores[ranked[(len(ranked) - 1) // 2]] or 0.0
        trusted = (names[index] for index in members if (scores[index] or 0.0) >= lowest)
        chosen.add(min(trusted, key=lambda name: (hash_text(name), name)))
    return frozenset(chosen)
