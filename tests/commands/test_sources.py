"""The sweep that a command works on, and the errors before a run starts."""

from __future__ import annotations

import re

import pytest

from lthsweep.commands.sources import missing_data, open_source, require_samples
from lthsweep.data.cache import prepare
from lthsweep.errors import SpecError

FILE = """
[sweep]
model = {{ name = "text_cnn" }}
data = {{ name = "text_csv", path = "{path}", length = 8, validation = {validation}, train_images = {part} }}

[train]
epochs = 2
batch_size = {batch}

[grid]
sparsity = [0.5]
rewind_epoch = [{rewind}]
"""


@pytest.fixture
def opened(tmp_path):
    """A function that opens a sweep on twenty texts, 16 of them for training."""
    texts = tmp_path / "texts.csv"
    texts.write_text("label,text\n" + "a,one two\nb,three four\n" * 10)

    def write(validation=0, part=0, batch=4, rewind="0"):
        file = tmp_path / "sweep.toml"
        file.write_text(FILE.format(path=texts, validation=validation, part=part, batch=batch, rewind=rewind))
        return open_source(str(file))

    prepare({"name": "text_csv", "path": str(texts), "length": 8}, cache=tmp_path / "cache")
    return write


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"validation": 16}, "data.validation = 16 holds out all 16 training samples of text_csv"),
        (
            {"validation": 6, "part": 11},
            "data.train_images = 11: text_csv has 10 training samples in addition to the 6 held out",
        ),
        ({"batch": 17}, "train.batch_size = 17: 16 training samples of text_csv make no batch"),
        ({"rewind": '"8it"'}, "8it is step 8 of the 8 in 2 epochs of 4: nothing is left to train"),
    ],
)
def test_too_little_own_data_is_refused(opened, tmp_path, wrong, message):
    """The header of the pack holds the number of samples, so the check is cheap."""
    with pytest.raises(SpecError, match=re.escape(message)):
        require_samples(opened(**wrong), tmp_path / "cache")


def test_all_own_data_can_be_used(opened, tmp_path):
    """The limit itself is allowed."""
    require_samples(opened(validation=6, part=10), tmp_path / "cache")


def test_unpacked_data_is_checked_by_the_run(opened, tmp_path):
    """A user can plan on a machine without the data."""
    require_samples(opened(validation=1000), tmp_path / "elsewhere")


def test_missing_data_is_named_with_its_remedy(opened, tmp_path, monkeypatch):
    """`plan` warns before a night is planned on data that is not on this machine."""
    monkeypatch.setenv("LTHSWEEP_DATA", str(tmp_path / "data"))
    source = opened()
    assert missing_data(source, tmp_path / "cache") == missing_data(source, tmp_path / "elsewhere") == ()

    (tmp_path / "texts.csv").unlink()

    assert missing_data(source, tmp_path / "cache") == ()
    (line,) = missing_data(source, tmp_path / "elsewhere")
    assert line == f"data: {tmp_path}/texts.csv does not exist; set the path of your files: --set data.path=…"
    both = open_source("digits-lenet", overrides=['grid."data.name"=["mnist", "digits"]'])
    assert missing_data(both, tmp_path / "cache") == (
        "data: mnist is not on this machine; `lthsweep data prepare mnist` gets it",
    )
