"""The studies that come with the package, one TOML file each."""

from __future__ import annotations

from importlib import resources

from lthsweep.errors import UnknownNameError

__all__ = ["preset_names", "preset_summary", "preset_text"]

_ENDING = ".toml"


def preset_names() -> list[str]:
    """The names of all presets, sorted."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return sorted(name.removesuffix(_ENDING) for name in files if name.endswith(_ENDING))


def preset_text(name: str) -> str:
    """A preset's file as it was written, comments and all.

    Raises:
        UnknownNameError: if there is no such preset.
    """
    names = preset_names()
    if name not in names:
        raise UnknownNameError.of("preset", name, names)
    return resources.files(__name__).joinpath(name + _ENDING).read_text("utf-8")


def preset_summary(name: str) -> str:
    """The first line of a preset's comment: the question that it answers.

    Raises:
        UnknownNameError: if there is no such preset.
    """
    return preset_text(name).split("\n", 1)[0].removeprefix("#").strip()
