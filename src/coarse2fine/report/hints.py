"""What a run makes one look at next: plain rules over what a report knows."""

from collections import Counter
from collections.abc import Sequence

from coarse2fine.evaluation.mask_quality import summarize_classes
from coarse2fine.report.run_summary import Round, Story

STILL_RISING = 0.01
WEAK_BY = 0.1
WORTH_A_LOOK = 3
MANY = 0.1
FEW_PHOTOS = 20


def find_hints(story: Story) -> list[str]:
    """Sentences about what stands out, most of them with the flag that answers it; none where nothing does."""
    found = [
        _say_rising(story),
        _name_weak_classes(story),
        _name_small_classes(story),
        _say_left_out(story.last, story),
        _say_good_ones_left_out(story.last),
    ]
    return [hint for hint in found if hint]


def _say_rising(story: Story) -> str | None:
    known = [
        (story.rounds[-1].headline_name, [one.headline for one in story.rounds]),
        ("quality", [one.mean_quality for one in story.rounds]),
    ]
    for name, line in known:
        values = [one for one in line if one is not None]
        if len(values) >= 2:
            before, now = values[-2:]
            more = f"; --rounds {story.asked_rounds + 1} goes on from here" if story.is_finished else ""
            risen = f"The {name} still rose in the last round, from {before:.3f} to {now:.3f}{more}."
            return risen if now - before > STILL_RISING else None
    return None


def _name_weak_classes(story: Story) -> str | None:
    classes = summarize_classes(list(story.last.qualities.values()))
    mean = story.last.mean_quality
    weak = [one.class_name for one in classes if mean is not None and one.score < mean - WEAK_BY]
    return (
        f"Masks of {_list(weak)} are less certain than those of the other classes: look at them first."
        if weak
        else None
    )


def _name_small_classes(story: Story) -> str | None:
    counts = Counter(photo.label for photo in story.dataset.photos)
    small = [name for label, name in enumerate(story.dataset.classes) if label and counts[label] < FEW_PHOTOS]
    return (
        f"{_list(small)}: fewer than {FEW_PHOTOS} photos; a class needs some dozens to be learned." if small else None
    )


def _say_left_out(last: Round, story: Story) -> str | None:
    photos, gone = len(story.dataset.photos), len(last.reasons or {})
    if gone <= MANY * photos:
        return None
    return (
        f"{gone} of {photos} photos were left out after {last.title}: see below whether their masks are as bad as the "
        "limits --filter.min-share and --filter.max-share say."
    )


def _say_good_ones_left_out(last: Round) -> str | None:
    """Masks that score above the mean and left all the same: most of them objects that fill the photo, or are tiny."""
    mean = last.mean_quality
    scores = [last.qualities[name].score for name in last.reasons or {} if name in last.qualities]
    good = [score for score in scores if mean is not None and score > mean]
    if len(good) < WORTH_A_LOOK or len(good) <= MANY * len(scores):
        return None
    return (
        f"{len(good)} of the {len(scores)} photos left out after {last.title} have masks that score above the mean: if "
        "they look right below, the limits --filter.min-share and --filter.max-share are too narrow."
    )


def _list(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
