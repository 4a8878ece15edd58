import pytest
from pydantic import ValidationError

from coarse2fine.config import (
    RECIPES,
    CoarseConfig,
    EnhanceConfig,
    FitConfig,
    RefineConfig,
    dump_config,
    load_config,
    load_recipe,
    parse_config,
    read_task,
)
from coarse2fine.errors import ConfigError


@pytest.mark.parametrize("name", RECIPES)
def test_load_recipe__comes_back_from_its_own_toml(name):
    config = load_recipe(name)
    assert parse_config(dump_config(config), "test") == config
    assert config != FitConfig()


def test_load_recipe__paper_has_the_published_settings():
    config = load_recipe("paper")
    assert (config.network.name, config.network.encoder, config.network.output_stride) == ("deeplabv2", "resnet101", 8)
    assert (config.rounds, config.train.batch, config.train.learning_rate) == (5, 12, 0.00025)
    assert (config.train.resize_px, config.train.crop_px, config.train.weight_decay) == (321, 256, 0.0005)
    assert (config.refine.constrain, config.refine.min_share, config.refine.max_share) == ("label", 0.01, 0.8)
    assert (config.enhance.start, config.enhance.method, config.enhance.engine) == ("box", "grabcut", "opencv")


@pytest.mark.parametrize("name", RECIPES)
def test_load_recipe__foreground_lies_over_the_same_recipe(name):
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
    with pytest.raises(ConfigError, match="no recipe 'big'; choose one of paper, small, demo"):
        load_recipe("big")


def test_parse_config__lies_over_its_base():
    base = parse_config("[train]\nbatch = 4\ncrop_px = 64", "test")
    config = parse_config("rounds = 2\n[train]\nbatch = 6", "test", base)
    assert (config.rounds, config.train.batch, config.train.crop_px) == (2, 6, 64)


@pytest.mark.parametrize(
    "text, message",
    [
        ("[train]\nlearning_speed = 1", "there is no setting 'train.learning_speed'"),
        ("rounds = 0", "rounds: Input should be greater than 0 .found 0."),
        ("rounds = ", "must be TOML"),
        ('[enhance]\nmethod = "magic"', "enhance.method: Input should be 'grabcut', 'crf', 'box' or 'none'"),
        ('[coarse]\nmethod = "folder"', "coarse.method = folder needs coarse.folder"),
        ("[refine]\nmin_share = 0.9", "refine.min_share must be below refine.max_share"),
        ('[enhance]\nengine = "opencv"\ndevice = "gpu"', "OpenCV's GrabCut runs on the CPU only"),
        ('[enhance]\nengine = "opencv"\nstart = "scores"', "OpenCV's GrabCut cannot weigh scores against colors"),
    ],
)
def test_parse_config__bad_text_is_one_sentence(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_config(text, "my.toml")
    assert str(caught.value).startswith("my.toml") and "\n" not in str(caught.value)


def test_load_config__missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"settings file .*gone\.toml cannot be read"):
        load_config(tmp_path / "gone.toml")


def test_keeps_scores__only_where_the_method_asks_for_them():
    def keeps(**changes) -> tuple[bool, bool]:
        config = FitConfig(enhance=EnhanceConfig(**{"start": "scores"} | changes))
        return config.keeps_scores(0), config.keeps_scores(2)

    assert keeps() == (False, True)
    assert keeps(coarse_start="scores", start="mask") == (True, False)
    assert keeps(method="none") == keeps(between_rounds=False) == keeps(start="mask") == (False, False)
    assert keeps(method="crf", start="box") == (True, True)
    assert keeps(method="crf", between_rounds=False) == (True, False)


def test_start_of__a_crf_takes_scores_wherever_there_are_some():
    config = parse_config('[enhance]\nmethod = "crf"\n[coarse]\nmethod = "box"', "test")
    assert (config.start_of(0), config.start_of(1), config.keeps_scores(0)) == ("mask", "scores", False)
    assert FitConfig().start_of(1) == FitConfig().enhance.start == "box"


def test_settings__are_frozen():
    with pytest.raises(ValidationError):
        RefineConfig().min_share = 0.5
    assert CoarseConfig(threshold=0.4).threshold == 0.4


def test_view_px__is_that_of_training_unless_set():
    assert FitConfig().view_px == FitConfig().train.resize_px
    assert parse_config("[predict]\nsize_px = 500", "test").view_px == 500


@pytest.mark.parametrize("text", ["[refine]\nscales = []", "[predict]\nscales = []", "[train]\nepochs = []"])
def test_parse_config__an_empty_list_is_refused(text):
    with pytest.raises(ConfigError, match="at least 1"):
        parse_config(text, "test")


@pytest.mark.parametrize(
    "method, engine, start", [("saliency", "fast", "scores"), ("box", "fast", "box"), ("saliency", "opencv", "box")]
)
def test_coarse_start__auto_is_what_method_and_engine_can(method, engine, start):
    text = f'[coarse]\nmethod = "{method}"\n[enhance]\nengine = "{engine}"\ncoarse_start = "auto"'
    config = parse_config(text, "test")
    assert config.start_of(0) == start and config.keeps_scores(0) == (start == "scores")
