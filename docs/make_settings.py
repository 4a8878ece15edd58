"""Writes docs/settings.md from the settings classes: python docs/make_settings.py."""

from pathlib import Path

from pydantic import BaseModel

from coarse2fine.config import (
    RECIPES,
    AppConfig,
    FitConfig,
    MaskExportConfig,
    ServeConfig,
    StudentConfig,
    TeacherConfig,
    load_recipe,
)

HEAD = """# Settings

Every setting is a flag of `coarse2fine fit` (`--train.batch 8`) and a key in TOML (`--config my.toml`). A recipe sets
what differs from the defaults; `config.toml` in the run folder holds what a run used. This page is made by
`python docs/make_settings.py`.

| setting | what it is | default | recipes |
|---|---|---|---|
"""

FOREGROUND = """
## --task foreground

What the recipes set beside, where photos have no label (`coarse2fine fit photos --task foreground`):

| setting | recipes |
|---|---|
"""

TEACHER = """
## coarse2fine teacher

These are flags of `coarse2fine teacher` (`--keep-share 0.2`); see [teacher.md](teacher.md).

| setting | what it is | default |
|---|---|---|
"""

STUDENT = """
## coarse2fine student train

These are flags of `coarse2fine student train` (`--train.epochs 100 30`); see [student.md](student.md).

| setting | what it is | default |
|---|---|---|
"""

EXPORT = """
## coarse2fine export

These are flags of `coarse2fine export` for masks (`--images link`); see [export.md](export.md).

| setting | what it is | default |
|---|---|---|
"""

SERVE = """
## coarse2fine serve

These are flags of `coarse2fine serve` (`--max-mb 50`); see [serve.md](serve.md).

| setting | what it is | default |
|---|---|---|
"""

APP = """
## coarse2fine app

These are flags of `coarse2fine app` (`--port 9000`); see [app.md](app.md).

| setting | what it is | default |
|---|---|---|
"""


def rows(settings: type[BaseModel], path: tuple[str, ...] = ()) -> list[str]:
    """One row for every setting, in the order of the classes."""
    lines = []
    for name, field in settings.model_fields.items():
        here = (*path, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            lines.append(f"| **{'.'.join(here)}** | {(field.annotation.__doc__ or '').strip()} | | |")
            lines += rows(field.annotation, here)
            continue
        described = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{'.'.join(here)}` | {described} | {show(field.default)} | {differing(here, field.default)} |")
    return lines


def plain_rows(settings: type[BaseModel], path: tuple[str, ...] = ()) -> list[str]:
    """One row for every setting of a verb that has no recipes."""
    lines = []
    for name, field in settings.model_fields.items():
        here = ".".join((*path, name))
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            lines.append(f"| **{here}** | {(field.annotation.__doc__ or '').strip()} | |")
            lines += plain_rows(field.annotation, (*path, name))
        else:
            described = (field.description or "").replace("|", "\\|")
            lines.append(f"| `{here}` | {described} | {show(field.default)} |")
    return lines


def differing(path: tuple[str, ...], default: object) -> str:
    """Recipes that set another value, and which."""
    values = {recipe: find(load_recipe(recipe), path) for recipe in RECIPES}
    return ", ".join(f"{recipe} {show(value)}" for recipe, value in values.items() if value != default)


def foreground_rows() -> list[str]:
    """One row for every setting that a recipe changes for the foreground task."""
    paths = [path for path in leaves(FitConfig) if path != ("task",)]
    pairs = {recipe: (load_recipe(recipe), load_recipe(recipe, "foreground")) for recipe in RECIPES}
    lines = []
    for path in paths:
        changed = {name: find(new, path) for name, (old, new) in pairs.items() if find(old, path) != find(new, path)}
        if changed:
            shown = ", ".join(f"{recipe} {show(value)}" for recipe, value in changed.items())
            lines.append(f"| `{'.'.join(path)}` | {shown} |")
    return lines


def leaves(settings: type[BaseModel], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths of all settings, in the order of the classes."""
    found: list[tuple[str, ...]] = []
    for name, field in settings.model_fields.items():
        kind = field.annotation
        nested = isinstance(kind, type) and issubclass(kind, BaseModel)
        found += leaves(kind, (*path, name)) if nested else [(*path, name)]
    return found


def find(settings: object, path: tuple[str, ...]) -> object:
    """The value at a path."""
    for name in path:
        settings = getattr(settings, name)
    return settings


def show(value: object) -> str:
    """A value as a person would type it."""
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return "`" + " ".join(str(item) for item in value) + "`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def page() -> str:
    """The whole page."""
    parts = [HEAD, *rows(FitConfig), FOREGROUND, *foreground_rows()]
    parts += [TEACHER, *plain_rows(TeacherConfig), STUDENT, *plain_rows(StudentConfig)]
    parts += [EXPORT, *plain_rows(MaskExportConfig)]
    parts += [SERVE, *plain_rows(ServeConfig)]
    parts += [APP, *plain_rows(AppConfig)]
    return "".join(part if part.endswith("\n") else f"{part}\n" for part in parts)


if __name__ == "__main__":
    Path(__file__).with_name("settings.md").write_text(page(), encoding="utf-8")
