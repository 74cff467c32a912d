"""Read a sweep's file, from a path, a sweep directory or a preset, with positions for every error."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

from lthsweep.errors import SpecError, nearest
from lthsweep.presets import preset_names, preset_text
from lthsweep.spec.names import default_name
from lthsweep.spec.positions import Mark, locate
from lthsweep.spec.problems import Origin, dotted, excerpt
from lthsweep.spec.resolved_file import check_resolved
from lthsweep.spec.spec import Spec, spec_of

__all__ = ["load_spec", "parse_toml"]

_SWEEP_FILE = "sweep.toml"
_TOML_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)\s*$")


def load_spec(source: str | Path, overrides: Sequence[str] = ()) -> Spec:
    """Read a TOML file, a sweep directory's file or a preset.

    Args:
        source: path of the file or directory, or, as text, a preset's name.
        overrides: settings such as `train.epochs=4` that stand above the file.

    Raises:
        SpecError: if the file does not exist, is not TOML, or has an error; see `spec_of`.
    """
    name, text, stem = _read(source)
    return spec_of(
        parse_toml(text, name), overrides, origin=Origin(name, text), default_name=default_name(stem)
    )


def _read(source: str | Path) -> tuple[str, str, str]:
    """Name for messages, content, and the stem of the name."""
    path = Path(source).expanduser()
    is_sweep = path.is_dir() and (path / _SWEEP_FILE).is_file()
    if is_sweep:
        path = path / _SWEEP_FILE
    if path.is_file():
        try:
            text = path.read_text("utf-8-sig")
            if is_sweep:
                check_resolved(path, text)
            return str(path), text, path.stem
        except UnicodeDecodeError as error:
            raise SpecError(
                f"{path} is not UTF-8 text (byte {error.start}); a sweep's file is TOML"
            ) from None
        except OSError as error:
            raise SpecError(f"{path} cannot be read: {error.strerror}") from None
    name = str(source)
    if isinstance(source, str) and name in preset_names():
        return f"preset {name}", preset_text(name), name
    if path.is_dir():
        raise SpecError(f"{path} is a directory without {_SWEEP_FILE}; give a TOML file, or a preset's name")
    raise SpecError(_missing(path, name))


def _missing(path: Path, name: str) -> str:
    try:
        files = {file.name: str(file) for file in sorted(path.parent.glob("*.toml"))}
        files |= {file.parent.name: str(file.parent) for file in sorted(path.parent.glob(f"*/{_SWEEP_FILE}"))}
    except OSError:
        files = {}
    here = files.get(nearest(path.name, files) or "")
    preset = nearest(name, preset_names())
    first, second = (here, preset) if len(path.parts) > 1 else (preset, here)
    hint = first or second or nearest(path.stem, preset_names())
    start = f"there is no file, no sweep directory and no preset {name!r}" + (
        f"; did you mean {hint!r}?" if hint else ";"
    )
    return f"{start} presets: {', '.join(preset_names())}; `lthsweep init` writes a file to start from"


def parse_toml(text: str, name: str) -> dict[str, object]:
    """The tables of a TOML text.

    Args:
        text: the content of a file.
        name: the file, for messages.

    Raises:
        SpecError: if it is not TOML; with the line, and both positions of a duplicate key.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise SpecError(f"{name}: lists or tables are nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        message = str(error)
    duplicates = locate(text).duplicates
    if duplicates and any(
        word in message for word in ("overwrite", "declare", "twice", "mutate", "uplicate")
    ):
        shown = [
            f"{name}:{second.line}: {dotted(path)} is there twice, first on line {first.line}; "
            "keep one of them\n" + excerpt(text, second)
            for path, first, second in duplicates
        ]
        raise SpecError("\n\n".join(shown))
    place = _TOML_PLACE.search(message)
    reason = _TOML_PLACE.sub("", message)
    lines = text.splitlines()
    line, column = (int(place[1]), int(place[2])) if place and place[1] else (max(1, len(lines)), 1)
    raise SpecError(f"{name}:{line}: no valid TOML: {reason}\n{excerpt(text, Mark(line, column, 1))}")
