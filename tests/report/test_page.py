import pytest

from coarse2fine.errors import DataError
from coarse2fine.report.page import write_report
from coarse2fine.report.photo_rows import draw_groups
from coarse2fine.report.photo_selection import MAX_PICTURES
from coarse2fine.report.run_summary import read_run_summary
from coarse2fine.report.tables import find_confusions, make_matrix, reason_kind
from coarse2fine.runtime.files import read_json, write_json, write_text
from coarse2fine.types import Skipped

NASTY = """<script>alert(1)</script> "double' & </style><img src=x onerror=alert(2)>"""


@pytest.fixture
def page_of(read_page):
    def write(run, dataset):
        write_report(run, dataset, run.report, threads=1)
        return read_page(run.report)

    return write


@pytest.fixture
def tiny_pictures(monkeypatch) -> None:
    """Make the pictures small, so that a page with hundreds of them is quick."""
    monkeypatch.setattr("coarse2fine.report.thumbnails.SIDE_PX", 16)


def flat(text: str) -> str:
    return " ".join(text.split())


def test_write_report__of_photos_without_labels(draw_run, page_of):
    run, dataset = draw_run({"foreground": [f"{index}" for index in range(4)]})
    text = flat(page_of(run, dataset).text)
    assert "4 photos without labels. Coarse masks: method box." in text
    assert "foreground IoU of the network on 7 other photos" in text


def test_write_report__shows_the_results_of_the_run(draw_run, page_of):
    run, dataset = draw_run({"cat": [f"cat/{index}" for index in range(4)], "dog": ["dog/0", "dog/1"]})
    page = page_of(run, dataset)
    text = flat(page.text)
    assert "6 photos of 2 classes. Coarse masks: method box. Enhancement: method grabcut. Training: 2 rounds of" in text
    assert "The run is finished. Computing time so far: 2 min 19 s." in text
    assert "0.630mIoU of the network on 7 other photos" in text
    assert "0.420IoU of 5 training masks with the ground truth" in text
    assert "0.500mean quality score of the masks" in text and "5of 6 photos kept after round 2" in text
    assert "left out: foreground 0.4 % is below 1 %" in text
    assert "mask left unchanged: GrabCut found no foreground" in text
    assert "round 2: enhancement4.0 s2.9 %" in text
    assert "encoder = " in text and "not complete" not in text
    assert page.count("desc") == page.count("title") - 1 == 4


def test_write_report__is_self_contained(draw_run, page_of):
    page = page_of(*draw_run({"cat": ["cat/0", "cat/1"]}))
    links = [value for _, attrs in page.seen for name, value in attrs.items() if name in ("src", "href", "srcset")]
    assert links and all(link.startswith(("data:image/webp;base64,", "#")) for link in links)
    html = "".join(str(attrs) for _, attrs in page.seen) + page.text
    assert "://" not in html and "@import" not in html and "url(" not in html
    assert page.count("script") == page.count("link") == 0
    anchors = {attrs["id"] for _, attrs in page.seen if "id" in attrs}
    assert {link.removeprefix("#") for link in links if link.startswith("#")} <= anchors


def test_write_report__pictures_are_enlarged_without_a_second_copy(draw_run, page_of):
    run, dataset = draw_run({"cat": ["cat/0", "cat/1"]})
    page = page_of(run, dataset)
    ids = [attrs["id"] for _, attrs in page.seen if "id" in attrs]
    assert len(ids) == len(set(ids))
    opened = {attrs["popovertarget"] for tag, attrs in page.seen if tag == "button" and "popovertarget" in attrs}
    assert opened == {attrs["id"] for _, attrs in page.seen if "popover" in attrs} and len(opened) == 2 * 5 + 1
    assert {attrs["href"].removeprefix("#") for tag, attrs in page.seen if tag == "use"} <= set(ids)
    names = [attrs["aria-label"] for tag, attrs in page.seen if attrs.get("class") == "enlarge"]
    assert "Enlarge: round 2 of cat/1" in names


def test_write_report__left_out_photos_are_not_among_the_highest_scores(draw_run):
    run, dataset = draw_run({"cat": [f"cat/{index}" for index in range(9)]})
    write_json(run.filter_file(2), {f"cat/{index}": "foreground 99 % is above 80 %" for index in (6, 8)})
    summary = read_run_summary(run, dataset)
    groups = {group.kind: [row.name for row in group.rows] for group in draw_groups(summary, threads=1)}
    assert groups == {"lowest scores": ["cat/0", "cat/1", "cat/2"], "highest scores": ["cat/7"]}


def test_write_report__html_in_names_stays_text(draw_run, tmp_path, page_of):
    name = f"{NASTY.replace('/', '_')}/a"
    skipped = (Skipped(tmp_path / NASTY.replace("/", "_"), f"no image {NASTY}"),)
    run, dataset = draw_run({NASTY: [name, "b/<b>"], "'><i>": ["c/&amp;"]}, skipped=skipped)
    write_text(run.config, run.config.read_text() + f"# {NASTY}\n")
    write_json(run.enhanced(2) / "notes.json", {name: f"unchanged: {NASTY}"})
    write_json(run.round(2) / "filter.json", {name: f"foreground {NASTY} is below 1 %", "b/<b>": None})
    page = page_of(run, dataset)
    assert page.count("script") == page.count("b") == page.count("i") == 0 and page.count("style") == 1
    assert all(attrs["href"].startswith("data:") for tag, attrs in page.seen if tag == "image")
    assert page.count("img") == 0
    assert not any("onerror" in attrs for _, attrs in page.seen)
    for text in (NASTY, name, "b/<b>", "c/&amp;", f"no image {NASTY}", f"unchanged: {NASTY}", f"# {NASTY}"):
        assert text in page.text


def test_write_report__without_ground_truth_shows_scores_alone(draw_run, page_of):
    page = page_of(*draw_run({"cat": ["cat/0", "cat/1"]}, measured=False))
    assert "mIoU of" not in page.text and "Confusions between classes" not in page.text
    assert "estimated without ground truth" in page.text and "coarse2fine evaluate" in page.text
    assert page.count("desc") == 3


def test_write_report__names_photos_left_out_before_round_1(draw_run, page_of):
    run, dataset = draw_run({"cat": [f"cat/{index}" for index in range(3)]}, done=0)
    write_json(run.filter_file(0), {"cat/0": "foreground is empty", "cat/1": None, "cat/2": None})
    text = flat(page_of(run, dataset).text)
    assert "2of 3 photos kept before round 1" in text and "before round 11foreground is empty" in text
    assert "Photos left out before round 1, with their enhanced mask (1 of 1)" in text
    assert "1 of 3 photos were left out before round 1, because their mask is empty" in text


@pytest.mark.parametrize("done, missing", [(0, "round 1: training"), (1, "round 2: training")])
def test_write_report__of_an_unfinished_run_lists_missing_stages(draw_run, done, missing, page_of):
    run, dataset = draw_run({"cat": [f"cat/{index}" for index in range(3)]}, done=done)
    text = flat(page_of(run, dataset).text)
    assert f"Stages that are not complete: {missing}" in text
    assert "The run is not finished. Run fit again, with your options if you had others: it resumes." in text
    last = "round 1" if done else "the stages before round 1"
    assert f"The run is not finished; its masks are complete up to {last}." in text
    assert ("cat: examples" in text) == (done == 0) and ("cat: lowest scores" in text) == (done == 1)


def test_write_report__of_a_run_that_has_just_started(draw_run, page_of):
    run, dataset = draw_run({"cat": ["cat/0"]}, done=0)
    for folder in (run.coarse, run.enhanced(0)):
        for path in folder.rglob("*.*"):
            path.unlink()
    page = page_of(run, dataset)
    assert page.text.count("no mask yet") == 2 and page.count("image") == 1
    assert "no round is complete" in page.text


def test_write_report__a_missing_photo_is_reported_in_its_place(draw_run, page_of):
    run, dataset = draw_run({"cat": ["cat/0", "cat/1"]})
    dataset.photos[1].path.unlink()
    page = page_of(run, dataset)
    assert page.text.count("no such file") == 5 and "cat/1" in page.text


@pytest.mark.usefixtures("tiny_pictures")
def test_write_report__many_photos_are_sampled(draw_run, page_of):
    names = {f"class {label:02}": [f"{label}/{index:03}" for index in range(20)] for label in range(5)}
    run, dataset = draw_run(names)
    page = page_of(run, dataset)
    shown = page.count("article") - 1
    assert shown * 5 <= MAX_PICTURES and page.count("image") == 5 * shown + 2  # a left-out photo and its mask
    assert f"{shown} of 100 photos, selected from each class" in flat(page.text)
    first = run.report.read_bytes()
    write_report(run, dataset, run.report, threads=2)
    assert run.report.read_bytes() == first


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_pictures")
def test_write_report__of_254_classes_stays_small(draw_run, page_of):
    names = {f"class {label}": [f"{label}/0", f"{label}/1"] for label in range(254)}
    page = page_of(*draw_run(names, rounds=1))
    assert page.count("image") <= MAX_PICTURES + 2 * 24
    assert "35 of 254 classes are shown, those with the lowest mean scores." in flat(page.text)
    assert (
        "confusion matrix has too many classes for this page" in page.text and "most frequent confusions" in page.text
    )
    assert page.text.count("class 253") >= 1


def test_write_report__another_folder_is_an_error(draw_run, tmp_path):
    run, dataset = draw_run({"cat": ["cat/0"]})
    run.config.write_text("rounds =")
    with pytest.raises(DataError, match=r"must be a run folder of 'coarse2fine fit', but its config\.toml cannot be"):
        write_report(run, dataset, tmp_path / "page.html", threads=1)
    assert not (tmp_path / "page.html").exists()


def test_make_matrix__names_in_the_order_of_their_index(draw_run):
    run, dataset = draw_run({"ape": ["ape/0"], "zebra": ["zebra/0"]}, rounds=1)
    figures = read_json(run.metrics(1))
    figures["evaluation"]["confusion_matrix"] = [[8, 2, 0], [3, 1, 0], [0, 0, 0]]
    write_json(run.metrics(1), figures)
    summary = read_run_summary(run, dataset)
    names = [name for name, _ in make_matrix(summary)]
    assert names == ["background", "ape", "zebra"]  # sorted by name, ape would come first
    assert [shares for _, shares in make_matrix(summary)] == [[0.8, 0.2, 0.0], [0.75, 0.25, 0.0], [None, None, None]]
    first = find_confusions(summary)[0]
    assert (first.actual, first.predicted, first.share) == ("ape", "background", 0.75)


def test_write_report__metrics_of_foreground_only(draw_run, page_of):
    run, dataset = draw_run({"ape": ["ape/0"], "zebra": ["zebra/0"]}, rounds=1)
    figures = read_json(run.metrics(1))
    figures["evaluation"] |= {"confusion_matrix": [[8, 2], [3, 1]], "iou": {"background": 0.6, "foreground": 0.2}}
    write_json(run.metrics(1), figures)
    assert [name for name, _ in make_matrix(read_run_summary(run, dataset))] == ["background", "foreground"]
    assert "foreground" in page_of(run, dataset).text


def test_reason_kind__removes_the_number_of_the_photo():
    assert reason_kind("foreground 0.4 % is below 1 %") == "foreground below 1 % of the photo"
    assert reason_kind("foreground is empty") == "foreground is empty"
    assert reason_kind("foreground is empty") == "foreground is empty"


WRONG = ["[[1]]", "3", "null", '"a"', "[" * 200_000, '{"photos": [], "seconds": NaN, "round": "x"}']


@pytest.mark.parametrize("text", WRONG)
@pytest.mark.parametrize(
    "file",
    [
        "coarse/done.json",
        "round-1/training/done.json",
        "round-1/metrics.json",
        "round-1/filter.json",
        "round-1/enhanced/notes.json",
        "early-end.json",
        "coarse-choice.json",
    ],
)
def test_write_report__json_of_the_wrong_kind_is_one_sentence(draw_run, file, text):
    run, dataset = draw_run({"cat": ["cat/0"], "dog": ["dog/0"]}, rounds=1)
    write_text(run.config, run.config.read_text().replace('"box"', '"auto"'))
    (run.root / file).write_text(text)
    with pytest.raises(DataError, match=f"{file} (must hold|cannot be read)"):
        write_report(run, dataset, run.report, threads=1)
    assert not run.report.exists()


@pytest.mark.parametrize(
    "evaluation",
    [
        {"iou": {"background": "a"}},
        {"confusion_matrix": [[1, 2], [3, 4]]},
        {"confusion_matrix": [[1, 2, 3], [4], []]},
        {"confusion_matrix": [[-1, 1, 0]] * 3},
        {"confusion_matrix": [[10**400, 1, 0]] * 3},
        {"mean_iou": float("inf")},
        {"photos": None},
    ],
)
def test_write_report__an_evaluation_of_the_wrong_kind(draw_run, evaluation):
    run, dataset = draw_run({"cat": ["cat/0"], "dog": ["dog/0"]}, rounds=1)
    metrics = read_json(run.metrics(1))
    write_json(run.metrics(1), metrics | {"evaluation": metrics["evaluation"] | evaluation})
    with pytest.raises(DataError, match=r"metrics\.json"):
        write_report(run, dataset, run.report, threads=1)


@pytest.mark.parametrize("rounds", ["1000000000", "0", '"many"', "[1]", "nan", "[[[["])
def test_write_report__an_impossible_number_of_rounds_ends_at_once(draw_run, rounds):
    run, dataset = draw_run({"cat": ["cat/0"]}, rounds=1)
    write_text(run.config, run.config.read_text().replace("rounds = 1", f"rounds = {rounds}"))
    with pytest.raises(DataError, match=r"config\.toml cannot be read"):
        write_report(run, dataset, run.report, threads=1)


@pytest.mark.parametrize("row", ["cat/0,cat,nan", "cat/0,cat,1.5", ",cat,0.5", "cat/0,cat,0.5,,,1,,0,inf,0"])
def test_write_report__a_quality_table_of_the_wrong_kind(draw_run, row):
    run, dataset = draw_run({"cat": ["cat/0"]}, rounds=1)
    table = run.quality(1) / "quality.csv"
    header = table.read_text().splitlines()[0]
    table.write_text(f"{header}\n{row if row.count(',') > 3 else row + ',,,1,,0,1,0'}\n")
    with pytest.raises(DataError, match=r"quality\.csv"):
        write_report(run, dataset, run.report, threads=1)


def test_write_report__a_huge_mask_is_not_decoded(draw_run, claim_huge, page_of):
    run, dataset = draw_run({"cat": ["cat/0"]}, rounds=1)
    path = run.coarse / "cat" / "0.png"
    claim_huge(path)
    assert "the mask has another size than the photo" in page_of(run, dataset).text


def test_write_report__a_training_that_diverged(draw_run, page_of):
    run, dataset = draw_run({"cat": ["cat/0"]}, rounds=1)
    done = run.training(1) / "done.json"
    write_json(done, read_json(done) | {"loss": float("nan")})
    assert page_of(run, dataset).count("html") == 1
