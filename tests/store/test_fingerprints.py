"""A setting that decides a result is part of the fingerprint of its stage, also one that is added later."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import create_model

from coarse2fine.config import (
    CoarseConfig,
    CoarseStudentConfig,
    EnhanceConfig,
    FitConfig,
    FitEnhanceConfig,
    GrabCutConfig,
    NetworkConfig,
    Role,
    Settings,
    parse_config,
)
from coarse2fine.runtime.files import hash_of
from coarse2fine.store.fingerprints import (
    coarse_settings,
    describe_photos,
    describe_settings,
    enhance_settings,
    refine_settings,
    training_settings,
)
from coarse2fine.types import Photo

SECTIONS = ["coarse", "coarse.box", "enhance", "enhance.grabcut", "refine", "filter", "network", "train", "predict"]


BOX = '[coarse]\nmethod = "box"'


def describe_all(config: FitConfig) -> dict[str, str]:
    """Fingerprint of each stage of round 2."""
    stages = {
        "coarse": coarse_settings(config.coarse),
        "enhance": enhance_settings(config.enhance, config.start_of(2), config.seed),
        "train": training_settings(config, 2, config.train.count_round_steps(3000, 2, 5)),
        "refine": refine_settings(config, 2),
    }
    return {name: hash_of([described]) for name, described in stages.items()}


def changed_stages(text: str, base: str = "") -> set[str]:
    """Stages whose fingerprints the settings in ``text`` change."""
    config = parse_config(base, "test")
    before, after = describe_all(config), describe_all(parse_config(text, "test", config))
    return {name for name in before if before[name] != after[name]}


def add_setting(settings: Settings, path: list[str], value: int) -> Settings:
    """The same settings, with a new field ``added`` in the section at a path."""
    if not path:
        kind = create_model("Extended", __base__=type(settings), added=(int, value))
        return kind(**{name: getattr(settings, name) for name in type(settings).model_fields})
    inner = add_setting(getattr(settings, path[0]), path[1:], value)
    kind = create_model("Extended", __base__=type(settings), **{path[0]: (type(inner), inner)})
    return kind(**{name: getattr(settings, name) for name in type(settings).model_fields} | {path[0]: inner})


@pytest.mark.parametrize("section", SECTIONS)
def test_fingerprint__a_setting_that_is_added_counts_without_being_listed(section):
    owner = {"filter": "train", "network": "train", "predict": "refine"}.get(section, section.split(".")[0])
    first, second = (
        describe_all(add_setting(parse_config(BOX, "test"), section.split("."), value)) for value in (1, 2)
    )
    assert {name for name in first if first[name] != second[name]} == {owner}


@pytest.mark.parametrize(
    "text, stages",
    [
        ("[coarse.box]\nshare = 0.5", {"coarse"}),
        ("[coarse.features]\nmodel = 'vit_base_patch16_224.dino'", set()),
        ('[coarse.student]\nweights = "x"', set()),
        ("[enhance.grabcut]\niterations = 9", {"enhance"}),
        ('[enhance]\nstart = "mask"', {"enhance", "refine"}),
        ('[enhance]\ncoarse_start = "mask"', set()),
        ("[refine]\nthreshold = 0.4", {"refine"}),
        ("[filter]\nmin_share = 0.02", {"train"}),
        ("[network]\ndecoder_channels = 7", {"train"}),
        ("[train]\nflip = false", {"train"}),
        ("[train]\nepochs = [5, 1]", set()),
        ("[train]\nepochs = [1, 5]", {"train"}),
        ("[train]\nmin_steps = [1]", set()),
        ("[train]\nmin_steps = [700]", {"train"}),
        ("[train]\nmax_steps = [9]\nmin_steps = [9]", {"train"}),
        ("[train]\nloader_workers = 3\ncheckpoint_photos = 1", set()),
        ("seed = 5", {"train"}),
        ("[predict]\ncrf = true", set()),
        ("[predict]\nflip = false", {"refine"}),
        ("[predict]\nscales = [2.0]", {"refine"}),
        ("[predict]\nsize_px = 99", {"refine"}),
        ("rounds = 9", set()),
    ],
)
def test_fingerprint__a_change_redoes_only_the_stages_that_depend_on_it(text, stages):
    assert changed_stages(text, BOX) == stages


def test_fingerprint__the_methods_that_combined_uses_count():
    combined = '[coarse]\nmethod = "combined"'
    assert changed_stages("[coarse.box]\nshare = 0.5", combined) == {"coarse"}
    assert changed_stages('[coarse.student]\nweights = "x"', combined) == {"coarse"}
    assert changed_stages('[coarse.features]\nweights = "x"', combined) == set()


def test_fingerprint__the_section_of_the_chosen_method_counts():
    assert changed_stages("[coarse.box]\nshare = 0.5", '[coarse]\nmethod = "saliency"') == set()
    assert changed_stages("[enhance.grabcut]\niterations = 9", '[enhance]\nmethod = "none"') == set()


def test_training_settings__the_filter_counts_after_the_first_round():
    strict = parse_config("[filter]\nmin_share = 0.1", "test")
    assert training_settings(strict, 1, 5) == training_settings(FitConfig(), 1, 5)


def test_enhance_settings__only_opencv_has_a_seed():
    opencv = EnhanceConfig(grabcut=GrabCutConfig(engine="opencv"))
    assert enhance_settings(EnhanceConfig(), "box", 1) == enhance_settings(EnhanceConfig(), "box", 2)
    assert enhance_settings(opencv, "box", 1) != enhance_settings(opencv, "box", 2)
    assert enhance_settings(FitEnhanceConfig(), "box", 1) == enhance_settings(EnhanceConfig(), "box", 1)


def test_fingerprint__weights_count_by_content(tmp_path):
    first, moved = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for path in (first, moved):
        path.write_bytes(b"weights")

    def describe(path: Path) -> list[dict]:
        student = CoarseConfig(method="student", student=CoarseStudentConfig(weights=path))
        return [coarse_settings(student), describe_settings(NetworkConfig(encoder_weights=str(path)), "network")]

    before = describe(first)
    assert describe(moved) == before
    moved.write_bytes(b"others")
    assert all(new != old for new, old in zip(describe(moved), before, strict=True))
    included = coarse_settings(CoarseConfig(method="student"))["coarse.student.weights"]
    assert len(included) == 16 and included != before[0]["coarse.student.weights"]


def test_describe_settings__roles():
    class Inner(Settings):
        kept: int = 1
        speed: Annotated[int, Role.NO_EFFECT] = 2

    class Outer(Settings):
        file: Annotated[str, Role.FILE] = "imagenet"
        chosen: Annotated[str, Role.RESOLVED] = "auto"
        inner: Inner = Inner()

    assert describe_settings(Outer(), "x") == {"x.file": "imagenet", "x.inner.kept": 1}
    assert refine_settings(FitConfig(), 1)["soft masks"] == "saved"


def test_describe_photos__one_label_is_no_list(tmp_path):
    path = tmp_path / "1.jpg"
    path.write_bytes(b"12345")
    described = [describe_photos([Photo(path, "a", labels)]) for labels in [(1,), (2,), (1, 2), ()]]
    assert described[0] == f"1 ({hash_of([('a', 1, 5)])})"
    assert len(set(described)) == 4
