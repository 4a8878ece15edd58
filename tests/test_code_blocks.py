"""The code blocks of every page: they are run, or parsed by the real command line if the page says why they cannot run.

A block is not run if the line before it reads ``<!-- not run: reason -->``. Runs use tiny drawn photos and a tiny
network; apart from that, the commands are those of the page.
"""

import functools
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import safetensors.torch
import timm
from PIL import Image

import coarse2fine
from coarse2fine.cli import COMMANDS, main
from coarse2fine.cli.parser import parse_and_call
from coarse2fine.config import parse_config
from coarse2fine.data.synthetic import draw_dataset
from coarse2fine.inference.segmenter import decide_classes

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^(?:<!-- not run: (?P<reason>.+?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
TESTED_ELSEWHERE = {"docs/api.md": "tests/test_api_page.py", "CONTRIBUTING.md": "tests/coarse/test_new_method.py"}
WITHOUT_END = {"app", "serve"}  # these commands run until they are stopped; tests/app and tests/serving start them
LAUNCHERS = {"torchrun", "srun", "sbatch"}  # of several processes: tests/pipeline/test_distributed.py, and below


class Block(NamedTuple):
    """A code block: the page, its language and text, and why it cannot be run (empty: it is run)."""

    page: str
    language: str
    text: str
    reason: str


def find_blocks() -> dict[str, list[Block]]:
    pages = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
    found = {}
    for path in pages:
        page, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        blocks = [Block(page, one["language"], one["text"], one["reason"] or "") for one in BLOCK.finditer(text)]
        assert len(blocks) == len(re.findall(r"^```", text, re.M)) / 2, f"{page}: a block does not start at its line"
        if page not in TESTED_ELSEWHERE:
            found[page] = blocks
    return found


BLOCKS = find_blocks()
PAGES = [
    page for page, blocks in BLOCKS.items() if any(b.language in ("sh", "python") and not b.reason for b in blocks)
]


def split_commands(block: Block) -> list[list[str]]:
    """Return the words of each command of a shell block, without comments, assignments in front, and ``| jq ...``."""
    lines = block.text.replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    commands = [words[: words.index("|")] if "|" in words else words for words in commands]
    for words in commands:
        while words and re.fullmatch(r"\w+=.*", words[0]):
            del words[0]
    return [words for words in commands if words]


COMMAND_LINES = [
    (block, words) for blocks in BLOCKS.values() for block in blocks if block.language == "sh"
    for words in split_commands(block)
]  # fmt: skip


def find_arguments(words: Sequence[str]) -> list[str] | None:
    """Return the arguments of coarse2fine, also behind a launcher; None for another program."""
    words = [re.sub(r"\$\w+", "1" * 12, part) for word in words for part in split_wrapped(word)]
    start = words.index("coarse2fine") if "coarse2fine" in words else None
    is_started = start is not None and (start == 0 or words[0] in LAUNCHERS or words[start - 1] == "-m")
    return list(words[start + 1 :]) if start is not None and is_started else None


def split_wrapped(word: str) -> list[str]:
    """Return the words of a command that is one word of another one: ``sbatch --wrap 'coarse2fine fit ...'``."""
    return shlex.split(word) if word.startswith("coarse2fine ") else [word]


def parse_only(function: Callable[..., None], arguments: Sequence[str], command: str) -> None:
    """Parse as the command line does, and call nothing."""
    parse_and_call(functools.wraps(function)(lambda *_args, **_options: None), arguments, command)


PARSED = [
    (block.page, args) for block, words in COMMAND_LINES
    if (args := find_arguments(words)) and not args[0].startswith("-")
]  # fmt: skip


@pytest.mark.parametrize("page, arguments", PARSED, ids=[f"{page}: {' '.join(args)}" for page, args in PARSED])
def test_command__has_options_and_values_that_exist(page, arguments, monkeypatch):
    assert arguments[0] in COMMANDS, f"{page}: there is no command {arguments[0]}"
    module = import_module(f"coarse2fine.cli.{arguments[0].replace('-', '_')}")
    monkeypatch.setattr(module, "parse_and_call", parse_only)
    module.run(arguments[1:])


def test_command__with_an_unknown_option_is_found(monkeypatch):
    monkeypatch.setattr("coarse2fine.cli.predict.parse_and_call", parse_only)
    with pytest.raises(SystemExit):
        import_module("coarse2fine.cli.predict").run(["runs/pets", "holiday", "--out", "found", "--colour"])


def test_other_programs__name_scripts_targets_and_extras_that_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    scripts = 0
    for block, words in COMMAND_LINES:
        where = f"{block.page}: {' '.join(words)}"
        if words[0] in ("python", "sbatch") and not words[1].startswith("-"):
            scripts += 1
            assert (ROOT / words[1]).is_file(), where
        if words[0] == "make":
            assert words[1] in targets, where
        for listed in re.findall(r"(?:coarse2fine|\.)\[([\w,]+)\]", " ".join(words)) if words[0] == "pip" else ():
            assert set(listed.split(",")) <= set(extras), where
    assert scripts


def test_data_blocks__can_be_read():
    for block in (block for blocks in BLOCKS.values() for block in blocks):
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "toml":
            parse_config(block.text, block.page)
        else:
            assert block.language in ("", "sh", "python") or block.reason, f"{block.page}: say why it is not run"


@pytest.fixture(scope="module")
def world(tmp_path_factory, settings) -> Path:
    """A folder with the names that the pages use: photos, val, holiday, holiday.jpg, videos, runs/pets, ..."""
    root = tmp_path_factory.mktemp("world")
    draw_dataset(root / "drawn", train_per_class=4, val_photos=4, size_px=64, classes=3)
    names = {"train": "photos", "train_masks": "corrected", "val": "val", "val/images": "holiday"}
    for folder, name in names.items():
        shutil.copytree(root / "drawn" / folder, root / name)
    for name in ("holiday.jpg", "cat.jpg"):
        shutil.copy(root / "holiday" / "0000.jpg", root / name)
    encoder = timm.create_model("test_resnet")  # that of the tiny settings
    safetensors.torch.save_file(encoder.state_dict(), root / "mobilenetv2_100.safetensors")
    write_video(root / "videos" / "dog.mp4")
    write_video(root / "videos" / "horse.mp4")
    write_video(root / "holiday.mp4")
    coarse2fine.fit(root / "photos", root / "runs" / "pets", settings())
    return root


def write_video(path: Path) -> None:
    """Write 50 frames of a square that moves."""
    import av

    path.parent.mkdir(exist_ok=True)
    with av.open(path, "w") as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(50):
            frame = np.full((48, 64, 3), 70, np.uint8)
            frame[10:30, number : number + 14] = (220, 40, 40)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())


@pytest.fixture
def place(world, tmp_path, monkeypatch, short_run, settings) -> Path:
    """A copy of the world as working directory, where every fit uses the tiny settings."""
    copy = shutil.copytree(world, tmp_path / "place")
    (copy / "tiny.toml").write_text(short_run)
    (copy / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(copy)
    monkeypatch.setattr(coarse2fine, "load_recipe", lambda *_names: settings())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return copy


def run_command(words: Sequence[str], where: str) -> None:
    """Run a command of a page; commands that cannot end or need other machines were parsed above."""
    arguments = find_arguments(words)
    if words[0] in LAUNCHERS | {"pip", "make"}:
        return
    if words[:2] == ["python", "-c"]:
        subprocess.run([sys.executable, *words[1:]], check=True)
        return
    assert arguments, f"{where}: only coarse2fine can be run here; mark the block: <!-- not run: reason -->"
    if arguments[0] in WITHOUT_END or (arguments[0] == "demo" and "--draw-only" not in arguments):
        return
    if arguments[0] == "export" and {"onnx", "torch-export"} & set(arguments):  # takes 20 s; tests/export does it
        return
    main([*arguments, *(["--config", "tiny.toml"] if arguments[0] == "fit" else [])])


def run_page(page: str) -> dict[str, object]:
    """Run the blocks of a page in order, and return the names that its Python blocks define."""
    names: dict[str, object] = {"coarse2fine": coarse2fine}
    for block in BLOCKS[page]:
        if block.reason:
            continue
        if block.language == "python":
            exec(compile(block.text, page, "exec"), names)
        for words in split_commands(block) if block.language == "sh" else ():
            run_command(words, f"{page}: {' '.join(words)}")
    return names


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page not in ("README.md", "docs/onnx.md")])
def test_page__runs_as_written(page, place):
    run_page(page)


@pytest.mark.slow
def test_readme__runs_as_written(place):
    image = np.full((40, 60, 3), 128, np.uint8)
    image[10:30, 15:45] = (230, 20, 20)
    Image.fromarray(image).save("holiday.jpg", quality=95)
    names = run_page("README.md")
    assert names["mask"].shape == (40, 60) and names["probabilities"].shape == (4, 40, 60)
    assert names["soft"].max() == 1 and names["coarse"][20, 30] == 1
    assert names["enhanced"].shape == (40, 60) and names["enhanced"][20, 30] == 1 and names["enhanced"][0, 0] == 0
    assert names["refined"].shape == (40, 60) and names["fine"].shape == (4, 40, 60)
    assert Path("runs/pets/report.html").exists() and Path("found/masks").exists()


def test_onnx_page__python_gives_the_probabilities_and_the_mask(place, exported_networks, small_segmenter):
    shutil.copy(exported_networks / "network.onnx", "pets.onnx")
    names = run_page("docs/onnx.md")
    found = names["probabilities"]
    assert found.shape == (3, 64, 64) and np.allclose(found.sum(axis=0), 1, atol=1e-4)
    expected = decide_classes(found, 64, 64, small_segmenter.foreground_first)
    assert np.array_equal(names["mask"], expected) and expected.any()


@pytest.fixture
def fake_slurm(tmp_path, monkeypatch) -> Iterator[Path]:
    """A program ``srun`` that starts two processes on this machine with the variables of SLURM."""
    program = tmp_path / "bin" / "srun"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/bash\nexport SLURM_NTASKS=2 SLURM_NNODES=1 SLURM_STEP_ID=0 SLURM_JOB_NAME=coarse2fine "
        "SLURM_NODELIST=127.0.0.1 SLURM_JOB_ID=$$\nSLURM_PROCID=1 SLURM_LOCALID=1 \"$@\" &\n"
        "SLURM_PROCID=0 SLURM_LOCALID=0 \"$@\" && wait $!\n"
    )  # fmt: skip
    program.chmod(0o755)
    (program.parent / "python").write_text(f'#!/bin/bash\nexec {sys.executable} "$@"\n')
    (program.parent / "python").chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    yield program


@pytest.mark.slow
def test_sbatch_file__srun_starts_processes_that_share_a_run(place, fake_slurm):
    command = ["bash", "examples/slurm.sbatch", "photos", "runs/cluster", "--config", "tiny.toml", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr  # two processes that do not know of each other could not lock the run
    assert done.stdout.count("after round 1") == 1
    assert Path("runs/cluster/model/weights.safetensors").exists()
