"""Write docs/settings.md from the settings classes: python docs/make_settings.py."""

from pathlib import Path

from coarse2fine.config import (
    RECIPES,
    AppConfig,
    FitConfig,
    MaskExportConfig,
    ServeConfig,
    Settings,
    StudentConfig,
    TeacherConfig,
    load_recipe,
)

HEAD = """# Settings

Every setting of a run is a flag of `coarse2fine fit` (`--train.batch 8`) and a key of a TOML file (`--config my.toml`):

```toml
rounds = 4

[enhance.grabcut]
iterations = 3
```

The defaults are those of the recipe `small`. The last column shows what the recipes `paper` and `demo` change. A method
has its own section, which is used only if the method is chosen: `[enhance.grabcut]` for `enhance.method = "grabcut"`.
`config.toml` in the run folder holds all settings of the run. This page is written by `python docs/make_settings.py`.

| setting | meaning | default | recipes |
|---|---|---|---|
"""

FOREGROUND = """
## --task foreground

The recipes also change these settings for photos without labels (`coarse2fine fit photos --task foreground`):

| setting | recipes |
|---|---|
"""

COMMANDS: tuple[tuple[str, str, type[Settings]], ...] = (
    ("teacher", "`--keep-share 0.2`); see [teacher.md](teacher.md)", TeacherConfig),
    ("student train", "`--train.epochs 100 30`); see [student.md](student.md)", StudentConfig),
    ("export", "`--images link`), for masks; see [export.md](export.md)", MaskExportConfig),
    ("serve", "`--max-mb 50`); see [serve.md](serve.md)", ServeConfig),
    ("app", "`--port 9000`); see [app.md](app.md)", AppConfig),
)


def make_rows(settings: Settings, with_recipes: bool) -> list[str]:
    """Return one row for each setting and section."""
    lines = []
    for path in type(settings).list_paths():
        name, value = ".".join(path), find(settings, path)
        if isinstance(value, Settings):
            meaning = (type(value).__doc__ or "").strip().splitlines()[0]
            cells = [f"**{name}**", meaning, ""]
        else:
            cells = [f"`{name}`", describe(settings, path), show(value)]
        if with_recipes:
            cells.append("" if isinstance(value, Settings) else find_changes(path, value))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def describe(settings: Settings, path: tuple[str, ...]) -> str:
    """Return the description of the setting at a path."""
    section = find(settings, path[:-1])
    assert isinstance(section, Settings)
    return (type(section).model_fields[path[-1]].description or "").replace("|", "\\|")


def find_changes(path: tuple[str, ...], default: object) -> str:
    """Return the recipes that set another value than the default, and the value."""
    values = {recipe: find(load_recipe(recipe), path) for recipe in RECIPES}
    return ", ".join(f"{recipe} {show(value)}" for recipe, value in values.items() if value != default)


def make_foreground_rows() -> list[str]:
    """Return one row for each setting that a recipe changes for the foreground task."""
    pairs = {recipe: (load_recipe(recipe), load_recipe(recipe, "foreground")) for recipe in RECIPES}
    lines = []
    for path in FitConfig.list_paths():
        if path == ("task",) or isinstance(find(FitConfig(), path), Settings):
            continue
        changed = {name: find(new, path) for name, (old, new) in pairs.items() if find(old, path) != find(new, path)}
        if changed:
            shown = ", ".join(f"{recipe} {show(value)}" for recipe, value in changed.items())
            lines.append(f"| `{'.'.join(path)}` | {shown} |")
    return lines


def find(settings: object, path: tuple[str, ...]) -> object:
    """Return the value at a path."""
    for name in path:
        settings = getattr(settings, name)
    return settings


def show(value: object) -> str:
    """Return a value as it is typed on the command line; None cannot be typed there."""
    if value is None:
        return "not set"
    if isinstance(value, tuple):
        return "`" + " ".join(str(item) for item in value) + "`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def page() -> str:
    """Return the whole page."""
    parts = [HEAD, *make_rows(FitConfig(), with_recipes=True), FOREGROUND, *make_foreground_rows()]
    for command, rest, kind in COMMANDS:
        head = f"\n## coarse2fine {command}\n\nThese are flags of `coarse2fine {command}` ({rest}.\n\n"
        parts += [f"{head}| setting | meaning | default |\n|---|---|---|\n", *make_rows(kind(), with_recipes=False)]
    return "".join(part if part.endswith("\n") else f"{part}\n" for part in parts)


if __name__ == "__main__":
    Path(__file__).with_name("settings.md").write_text(page(), encoding="utf-8")
