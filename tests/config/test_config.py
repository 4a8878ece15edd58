import pytest
from pydantic import Field, ValidationError, create_model

from coarse2fine.config import (
    RECIPES,
    CoarseConfig,
    EnhanceConfig,
    FitConfig,
    FitEnhanceConfig,
    RefineConfig,
    Settings,
    TrainConfig,
    dump_config,
    load_config,
    load_recipe,
    parse_config,
    read_task,
)
from coarse2fine.errors import ConfigError


def count_settings(kind: type[Settings]) -> int:
    fields = [field.annotation for field in kind.model_fields.values()]
    sections = [one for one in fields if isinstance(one, type) and issubclass(one, Settings)]
    return len(fields) - len(sections) + sum(map(count_settings, sections))


def list_descriptions(kind: type[Settings], path: str = "") -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name, field in kind.model_fields.items():
        inner = field.annotation
        nested = isinstance(inner, type) and issubclass(inner, Settings)
        found |= list_descriptions(inner, f"{path}{name}.") if nested else {f"{path}{name}": field.description}
    return found


def test_settings__are_few_and_each_has_a_description():
    assert count_settings(FitConfig) <= 59
    assert all(list_descriptions(FitConfig).values())
    assert not any(text.startswith("start=") for text in list_descriptions(FitConfig).values() if text)


@pytest.mark.parametrize("name", RECIPES)
def test_load_recipe__comes_back_from_its_own_toml(name):
    config = load_recipe(name)
    assert parse_config(dump_config(config), "test") == config
    assert (config == FitConfig()) == (name == "small")


def test_load_recipe__paper_has_the_published_settings():
    config = load_recipe("paper")
    assert (config.network.name, config.network.encoder, config.network.output_stride) == ("deeplabv2", "resnet101", 8)
    assert (config.rounds, config.train.batch, config.train.learning_rate) == (5, 12, 0.00025)
    assert (config.train.resize_px, config.train.crop_px, config.train.weight_decay) == (321, 256, 0.0005)
    assert (config.refine.constrain, config.filter.min_share, config.filter.max_share) == ("label", 0.01, 0.8)
    grabcut = config.enhance.grabcut
    assert (config.enhance.start, config.enhance.method, grabcut.engine) == ("box", "grabcut", "opencv")


@pytest.mark.parametrize("name", RECIPES)
def test_load_recipe__foreground_is_laid_over_the_same_recipe(name):
    config, plain = load_recipe(name, "foreground"), load_recipe(name)
    assert (config.task, config.network.name) == ("foreground", "dfpn")
    assert parse_config(dump_config(config), "test") == config
    assert (config.network.encoder, config.train, config.refine) == (plain.network.encoder, plain.train, plain.refine)


@pytest.mark.parametrize(
    "text, task", [('task = "foreground"', "foreground"), ("rounds = 2", None), ('task = "x"', None), ("][", None)]
)
def test_read_task__is_what_the_file_names(tmp_path, text, task):
    file = tmp_path / "my.toml"
    file.write_text(text, encoding="utf-8")
    assert read_task(file) == task
    assert read_task(tmp_path / "gone.toml") is None


def test_load_recipe__unknown_name_lists_the_known():
    with pytest.raises(ConfigError, match="no recipe 'big'; choose one of small, paper, demo"):
        load_recipe("big")


def test_parse_config__is_laid_over_its_base():
    base = parse_config("[train]\nbatch = 4\ncrop_px = 64", "test")
    config = parse_config("rounds = 2\n[train]\nbatch = 6", "test", base)
    assert (config.rounds, config.train.batch, config.train.crop_px) == (2, 6, 64)


def test_parse_config__searches_similar_names_only_for_the_settings_that_the_message_names(monkeypatch):
    searched: list[str] = []
    monkeypatch.setattr("coarse2fine.config.base.find_similar_names", lambda key, _: searched.append(key) or [])
    with pytest.raises(ConfigError, match=r"'x0'; there is no setting 'x1';.*'x9'; and 990 more\."):
        parse_config("\n".join(f"x{index} = 1" for index in range(1000)), "test")
    assert searched == [f"x{index}" for index in range(10)]


@pytest.mark.parametrize(
    "text, message",
    [
        ("[train]\nlearning_speed = 1", "there is no setting 'train.learning_speed'.*fit --help-all"),
        ("[train]\nlearningrate = 1", r"'train.learningrate' \(did you mean train.learning_rate\?\)"),
        ("[enhance]\niterations = 3", r"'enhance.iterations' \(did you mean enhance.grabcut.iterations\?\)"),
        ("[train]\nepochs = [0]", r"my.toml: each value of train.epochs must be greater than 0 \(found 0\)\.$"),
        ("[coarse]\nthreshold = 2", r"coarse.threshold must be less than 1 or 'otsu' \(found 2\)"),
        ("[train]\nscale_jitter = [1]", r"train.scale_jitter has too few values \(found \[1\]\)"),
        ("rounds = 0", r"rounds must be greater than 0 or 'auto' \(found 0\)\.$"),
        ("rounds = ", "must be TOML"),
        ('[enhance]\nmethod = "magic"', "enhance.method must be one of grabcut, crf, box, none; found 'magic'"),
        ('[enhance.grabcut]\nengine = "magic"', "enhance.grabcut.engine must be 'fast' or 'opencv'"),
        ('[coarse]\nmethod = "folder"', "coarse.method = folder needs coarse.folder.path"),
        ("[filter]\nmin_share = 0.9", "filter.min_share must be below filter.max_share"),
        ('[network]\nname = "deeplabv2"', "deeplabv2 needs network.output_stride = 8"),
        (
            '[enhance]\nstart = "probabilities"\n[enhance.grabcut]\nengine = "opencv"',
            "OpenCV's GrabCut cannot start from probabilities.* set it to mask or box",
        ),
    ],
)
def test_parse_config__bad_text_is_one_sentence(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_config(text, "my.toml")
    assert str(caught.value).startswith("my.toml") and "\n" not in str(caught.value)


@pytest.mark.fault("bom")
def test_load_config__a_byte_order_mark_and_other_encodings(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text('rounds = 7\ntask = "foreground"\n', encoding="utf-8-sig")
    assert load_config(file).rounds == 7 and read_task(file) == "foreground"
    file.write_text("rounds = 7\n", encoding="utf-16")
    with pytest.raises(ConfigError, match="must be UTF-8 text"):
        load_config(file)


def test_load_config__a_windows_path(tmp_path):
    (tmp_path / "my.toml").write_text('[network]\nencoder_weights = "C:\\dogs\\x.safetensors"\n')
    with pytest.raises(ConfigError, match=r"must be TOML: .* Write a Windows path with / or in single quotes"):
        load_config(tmp_path / "my.toml")


def test_load_config__takes_a_path_or_a_string(tmp_path):
    (tmp_path / "my.toml").write_text("rounds = 7")
    assert load_config(tmp_path / "my.toml").rounds == load_config(str(tmp_path / "my.toml")).rounds == 7
    with pytest.raises(ConfigError, match=r"settings file .*gone\.toml cannot be read"):
        load_config(tmp_path / "gone.toml")


def test_keeps_soft_masks__only_if_the_method_needs_them():
    def keeps(**changes) -> tuple[bool, bool]:
        enhance = FitEnhanceConfig(**{"start": "probabilities", "coarse_start": "box"} | changes)
        config = FitConfig(coarse=CoarseConfig(method="box"), enhance=enhance)
        return config.keeps_soft_masks(0), config.keeps_soft_masks(2)

    with pytest.raises(ConfigError, match="box gives no probabilities from which the enhancement could start"):
        keeps(coarse_start="probabilities", start="mask")
    student = FitConfig(
        coarse=CoarseConfig(method="student"), enhance=FitEnhanceConfig(coarse_start="probabilities", start="mask")
    )
    assert keeps() == (False, True)
    assert (student.keeps_soft_masks(0), student.keeps_soft_masks(2)) == (True, False)
    assert keeps(method="none") == keeps(between_rounds=False) == keeps(start="mask") == (False, False)
    assert keeps(method="crf", start="box") == (False, True)
    crf = FitConfig(coarse=student.coarse, enhance=FitEnhanceConfig(method="crf", between_rounds=False))
    assert (crf.keeps_soft_masks(0), crf.keeps_soft_masks(2)) == (True, False)


def test_start_of__a_crf_starts_from_probabilities_if_there_are_some():
    config = parse_config('[enhance]\nmethod = "crf"\n[coarse]\nmethod = "box"', "test")
    assert (config.start_of(0), config.start_of(1), config.keeps_soft_masks(0)) == ("mask", "probabilities", False)
    assert FitConfig().start_of(1) == FitConfig().enhance.start == "probabilities"


def test_settings__are_frozen():
    with pytest.raises(ValidationError):
        RefineConfig().threshold = 0.4
    assert CoarseConfig(threshold=0.4).threshold == 0.4


def test_view_px__is_that_of_training_unless_set():
    assert FitConfig().view_px == 320
    assert parse_config("[train]\nresize_px = 200", "test").view_px == 200
    assert parse_config("[predict]\nsize_px = 500", "test").view_px == 500


@pytest.mark.parametrize("text", ["[predict]\nscales = []", "[train]\nepochs = []"])
def test_parse_config__an_empty_list_is_refused(text):
    with pytest.raises(ConfigError, match="at least 1"):
        parse_config(text, "test")


@pytest.mark.parametrize(
    "method, engine, start",
    [("saliency", "fast", "probabilities"), ("box", "fast", "box"), ("saliency", "opencv", "box")],
)
def test_coarse_start__auto_is_what_method_and_engine_can(method, engine, start):
    text = f'[coarse]\nmethod = "{method}"\n[enhance]\ncoarse_start = "auto"\nstart = "box"'
    config = parse_config(f'{text}\n[enhance.grabcut]\nengine = "{engine}"', "test")
    assert config.start_of(0) == start and config.keeps_soft_masks(0) == (start == "probabilities")


def test_method_settings__a_new_section_is_a_new_method():
    class GlowConfig(Settings):
        strength: float = Field(1.0, description="strength of the glow")

    kind = create_model("Enhance", __base__=EnhanceConfig, glow=(GlowConfig, GlowConfig()))
    assert kind.methods() == ("grabcut", "glow", "crf", "box", "none")
    assert kind(method="glow").section == GlowConfig()
    assert EnhanceConfig(method="none").section == Settings()


@pytest.mark.parametrize(
    "photos, number, steps", [(1, 1, 20), (99, 1, 20), (240, 1, 40), (241, 1, 41), (10_000, 1, 50), (120, 3, 60)]
)
def test_train_config__steps_follow_the_photos_within_limits(photos, number, steps):
    config = TrainConfig(batch=12, epochs=(2, 1, 6), min_steps=(20, 30), max_steps=(50, 50, 100))
    assert config.count_round_steps(photos, number, classes=6) == steps


@pytest.mark.parametrize(
    "number, classes, steps", [(1, 20, 100), (3, 20, 200), (4, 20, 600), (5, 20, 600), (4, 6, 200)]
)
def test_train_config__the_last_round_of_many_classes_is_longer(number, classes, steps):
    assert TrainConfig().count_round_steps(12, number, classes) == steps


def test_train_config__limits_of_steps_are_ordered():
    with pytest.raises(ConfigError, match="found 300 above 200 in round 2"):
        parse_config("[train]\nmin_steps = [100, 300]\nmax_steps = [200]", "test")


@pytest.mark.parametrize("photos, epochs, batch, steps", [(10, 3, 4, 8), (1, 1, 12, 1), (12, 2, 12, 2)])
def test_count_steps__covers_all_photos_in_all_epochs(photos, epochs, batch, steps):
    assert TrainConfig(batch=batch).count_steps(photos, epochs) == steps


@pytest.mark.parametrize(
    "text", ["[predict]\nsize_px = 4000", "[train]\nresize_px = 800\n[network]\nscales = [1.0, 5.0]"]
)
def test_fit_config__the_input_of_the_network_has_a_limit(text):
    with pytest.raises(ConfigError, match=r"must be at most 4096 \(found 5000\); use a smaller size or smaller scales"):
        parse_config(text, "test")


def test_explain__names_some_of_many_errors_and_cuts_long_values():
    with pytest.raises(ConfigError) as caught:
        parse_config("\n".join(f"unknown_{number} = 1" for number in range(100)) + f"\nseed = '{'9' * 10**5}x'", "test")
    assert "and 91 more" in str(caught.value) and len(str(caught.value)) < 2000


def test_parse_config__a_deeply_nested_text_is_one_sentence():
    with pytest.raises(ConfigError, match="given text must be TOML: "):
        parse_config(f"a = {'[' * 10_000}", "given text")
