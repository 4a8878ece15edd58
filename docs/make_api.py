"""Write docs/api.md from the docstrings of the public names: python docs/make_api.py."""

import inspect
import re
from dataclasses import is_dataclass
from pathlib import Path

from pydantic import BaseModel

import coarse2fine

HEAD = """# Python API

All public names of `coarse2fine`. Every path is a `str` or a `Path`; images and masks are NumPy arrays, for `Segmenter`
also torch tensors. This page is made by `python docs/make_api.py` from the docstrings.

Types: `Image` is uint8 RGB, shape (H, W, 3). `Mask` is uint8, one class index per pixel, shape (H, W); 0 is background
and 255 is ignored. `SoftMask` is float32, foreground probability per pixel, shape (H, W). `Probabilities` is float32,
class probabilities, shape (C, H, W). `Enhanced` is a named tuple of `mask` and `note`.
"""

WIDTH = 110

SECTIONS = {
    "Train": ("fit", "FitConfig", "load_recipe", "load_config", "Run"),
    "Predict": ("Segmenter", "predict_photos", "PredictOptions"),
    "Read and write": ("open_dataset", "read_image", "read_mask", "write_mask", "overlay"),
    "Export": (
        "export_masks",
        "MaskExportConfig",
        "export_network",
        "export_int8_network",
        "save_pretrained",
        "push_to_hub",
    ),
    "Coarse masks (stage 1)": ("saliency", "centered_box", "Student", "binarize"),
    "Enhance masks (stage 2)": ("grabcut", "GrabCutConfig", "dense_crf", "dense_crf_many", "CrfConfig"),
    "Constrain predictions": ("constrain",),
    "Measure": ("evaluate_masks", "evaluate_network", "EvaluationResult"),
    "Students from videos": ("open_video", "videopca", "train_student", "StudentConfig"),
    "Errors": ("Coarse2FineError", "ConfigError", "DataError"),
}


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}\n")
        parts += [describe(name, getattr(coarse2fine, name), "###") for name in names]
    return "\n".join(parts)


def describe(name: str, value: object, level: str) -> str:
    """Return the entry of one name: signature and docstring; of a class also those of its public methods."""
    text = f"{level} {name}\n\n```python\n{signature(name, value)}\n```\n\n{to_markdown(inspect.getdoc(value) or '')}\n"
    if not inspect.isclass(value) or issubclass(value, BaseModel):
        return text
    methods = [key for key, member in vars(value).items() if not key.startswith("_") and inspect.isroutine(member)]
    shown = [describe(f"{name}.{key}", getattr(value, key), level + "#") for key in methods if is_public(value, key)]
    return "\n".join([text, *shown])


def is_public(owner: type, method: str) -> bool:
    """Return whether users call a method: of `Segmenter` only the methods for prediction."""
    return owner is not coarse2fine.Segmenter or method in (
        "load",
        "from_pretrained",
        "predict",
        "predict_probabilities",
        "with_settings",
        "with_crf",
    )


def signature(name: str, value: object) -> str:
    """Return the signature without module names, one line per parameter if it is long."""
    if inspect.isclass(value) and not is_dataclass(value):
        return f"class {name}"
    found = inspect.signature(value)  # type: ignore[arg-type]
    parameters = [shorten(str(one)) for one in found.parameters.values() if one.name != "self"]
    result = "" if inspect.isclass(value) else f" -> {shorten(str(found).rpartition(' -> ')[2])}"
    line = f"{name}({', '.join(parameters)}){result}"
    return (
        line if len(line) <= WIDTH else "\n    ".join([f"{name}(", *(f"{one}," for one in parameters)]) + f"\n){result}"
    )


def shorten(text: str) -> str:
    """Remove module names, addresses and the quotes of forward references from a part of a signature."""
    text = re.sub(r"<function .* at 0x[0-9a-f]+>", "...", text).replace("~", "")
    text = re.sub(r"= ([A-Z]\w*)\(.*\)", r"= \1()", text)
    text = re.sub(r"\b(?:[a-z_0-9]+\.)+(?=[A-Za-z_])", "", text)
    text = re.sub(r"'([A-Z]\w*)'", r"\1", text)
    return re.sub(r"ndarray\[tuple\[Any, \.\.\.\], dtype\[(\w+)\]\]", r"NDArray[\1]", text)


def to_markdown(doc: str) -> str:
    """Convert a Google-style docstring to Markdown: sections become bold, their entries become lists."""
    doc = re.sub(r":\w+:`~?([^`]*)`", lambda match: f"`{match[1].removeprefix('coarse2fine.')}`", doc)
    doc = doc.replace("``", "`")
    lines: list[str] = []
    for line in doc.splitlines():
        if re.fullmatch(r"(Args|Attributes|Raises|Returns|Yields):", line):
            lines += [f"**{line[:-1]}**", ""]
        elif match := re.fullmatch(r"    (\*{0,2}\w+): (.*)", line):
            lines.append(f"- `{match[1]}`: {match[2]}")
        elif line.startswith("    "):
            lines.append(line.strip() if not line.startswith("        ") else f"  {line.strip()}")
        else:
            lines.append(line)
    return "\n".join(lines).strip()


if __name__ == "__main__":
    Path(__file__).with_name("api.md").write_text(page(), encoding="utf-8")
