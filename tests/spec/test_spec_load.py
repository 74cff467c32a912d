"""The sources of a spec, and the errors of files that are not TOML."""

from __future__ import annotations

import pytest

from lthsweep.errors import SpecError
from lthsweep.spec import dump_spec, load_spec
from tests.spec.files import GOOD


def refused(source, *overrides) -> str:
    with pytest.raises(SpecError) as caught:
        load_spec(source, overrides)
    return str(caught.value)


def test_an_error_underlines_its_position(tmp_path):
    """The whole message, so that a reader can mend the file from it alone."""
    file = tmp_path / "typo.toml"
    file.write_text(GOOD.replace("sparsity", "spasity"))

    assert refused(file) == (
        f"{file}:15: grid.spasity = [0.5, 0.8]: no such key; did you mean `sparsity`? there are: sparsity, "
        'threshold, rewind_epoch, seed, or a value of another table, such as "model.init"\n'
        "  15 | spasity = [0.5, 0.8]\n"
        "     | ^^^^^^^"
    )


def test_an_element_of_a_list_is_underlined_itself(tmp_path):
    """In a list of thirty values the list's name helps little."""
    file = tmp_path / "list.toml"
    file.write_text(GOOD.replace("[0.5, 0.8]", "[\n  0.5,  # half\n  1.5,\n]"))

    assert refused(file) == (
        f"{file}:17: grid.sparsity[1] = 1.5: must be a number >= 0 and < 1\n  17 |   1.5,\n     |   ^^^"
    )


@pytest.mark.parametrize("axis", ['"model.width" = [-1]', '"sweep.model.width" = [-1]', "model.width = [-1]"])
def test_dotted_axes_are_found_in_any_form(tmp_path, axis):
    """Quotes are TOML's business, not the user's."""
    file = tmp_path / "axis.toml"
    file.write_text(GOOD + axis + "\n")

    assert refused(file).startswith(f'{file}:18: grid."model.width"[0] = -1: must be a number > 0')


def test_entries_of_pattern_tables_are_underlined(tmp_path):
    """Of ten rates, the one that is wrong."""
    (tmp_path / "s.toml").write_text(
        GOOD.replace('scope = "layer"', 'scope = "layer"\nrates = { fc1 = 1, fc3 = 1.5 }')
    )

    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path / "s.toml")

    first, line, caret = str(caught.value).splitlines()
    assert first.endswith("prune.rates.fc3 = 1.5: must be a number > 0 and <= 1")
    assert line[caret.index("^") :].startswith("fc3 = 1.5")


def test_duplicate_keys_show_the_first_line(tmp_path):
    """The last one silently wins in YAML."""
    file = tmp_path / "twice.toml"
    file.write_text(GOOD + "seed = [2]\n\n[train]\n")

    assert refused(file) == (
        f"{file}:18: grid.seed is there twice, first on line 17; keep one of them\n"
        "  18 | seed = [2]\n"
        "     | ^^^^\n"
        "\n"
        f"{file}:20: train is there twice, first on line 6; keep one of them\n"
        "  20 | [train]\n"
        "     | ^^^^^^^"
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[train]\nepochs = \n", 2),
        ("[train\n", 1),
        ("[train]\nepochs = [1,\n", 2),
        ("a = 'x\n", 1),
        ("\x00", 1),
    ],
)
def test_a_syntax_error_is_shown_with_its_line(tmp_path, text, line):
    """`tomllib` puts the position at the end of its message; ours starts with it."""
    file = tmp_path / "syntax.toml"
    file.write_text(text)

    assert refused(file).startswith(f"{file}:{line}: no valid TOML: ")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    """Users will pass a record or an archive."""
    file = tmp_path / "record.h5"
    file.write_bytes(b"\x89HDF\r\n\x1a\n")

    assert refused(file) == f"{file} is not UTF-8 text (byte 0); a sweep's file is TOML"


def test_a_missing_file_gets_the_nearest_name(tmp_path):
    """The message suggests presets, and files and sweep directories next to the missing one."""
    (tmp_path / "mobilenet.toml").write_text(GOOD)
    sweep = tmp_path / "digits-lenet-2"
    sweep.mkdir()
    (sweep / "sweep.toml").write_text(GOOD)

    assert "did you mean 'digits-lenet'? presets: audio-cnn, cifar10-budget" in refused("digits-lene")
    assert f"did you mean '{tmp_path / 'mobilenet.toml'}'?" in refused(str(tmp_path / "mobilnet.toml"))
    assert f"did you mean '{sweep}'?" in refused(str(tmp_path / "digits-lenet-3"))
    assert refused("zzz").startswith("there is no file, no sweep directory and no preset 'zzz'; presets: ")


def test_a_sweep_is_named_after_its_file(tmp_path):
    """Messages show it as the user wrote it; its folder is in `lthsweep.spec.names`."""
    file = tmp_path / "My First Sweep!.toml"
    file.write_text(GOOD.replace('name = "small"\n', ""))

    assert load_spec(file).sweep.name == "My First Sweep!"


def test_a_sweep_directory_is_read_by_its_file(tmp_path):
    """A directory of results contains its file."""
    (tmp_path / "sweep.toml").write_text(GOOD)

    assert load_spec(tmp_path).sweep.name == "small"
    assert refused(tmp_path.parent) == (
        f"{tmp_path.parent} is a directory without sweep.toml; give a TOML file, or a preset's name"
    )


def test_byte_order_marks_and_crlf_are_read(tmp_path):
    """Editors on Windows write both."""
    file = tmp_path / "windows.toml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())

    assert load_spec(file).sweep.name == "small"


def test_the_dump_omits_an_unset_partition(tmp_path):
    """TOML has no null."""
    file = tmp_path / "small.toml"
    file.write_text(GOOD)

    assert "partition" not in dump_spec(load_spec(file))
    assert 'partition = "gpu"' in dump_spec(load_spec(file, ["slurm.partition=gpu"]))
