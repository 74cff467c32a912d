"""What a command is pointed at, and what is refused before anything is started."""

from __future__ import annotations

import re

import pytest

from lthsweep.commands.sources import missing_data, open_source, require_samples
from lthsweep.data.pack import prepare
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
    """Twenty texts, of which 16 are for training; and the sweep of a file about them."""
    texts = tmp_path / "texts.csv"
    texts.write_text("label,text\n" + "a,one two\nb,three four\n" * 10)

    def write(validation=0, part=0, batch=4, rewind="0"):
        file = tmp_path / "sweep.toml"
        file.write_text(FILE.format(path=texts, validation=validation, part=part, batch=batch, rewind=rewind))
        return open_source(str(file))

    prepare({"name": "text_csv", "path": str(texts), "length": 8}, cache=tmp_path / "cache")
    return write


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"validation": 16}, "data.validation = 16 holds out all 16 training samples of text_csv"),
        (
            {"validation": 6, "part": 11},
            "data.train_images = 11: text_csv has 10 training samples besides the 6 held out",
        ),
        ({"batch": 17}, "train.batch_size = 17: 16 training samples of text_csv make no batch"),
        ({"rewind": '"8it"'}, "8it is step 8 of the 8 in 2 epochs of 4: nothing is left to train"),
    ],
)
def test_more_than_there_is_of_own_data_is_refused_before_a_run_starts(opened, tmp_path, wrong, said):
    """The header of the pack says how much there is; nothing else is read."""
    with pytest.raises(SpecError, match=re.escape(said)):
        require_samples(opened(**wrong), tmp_path / "cache")


def test_as_much_as_there_is_may_be_used(opened, tmp_path):
    require_samples(opened(validation=6, part=10), tmp_path / "cache")


def test_what_is_not_packed_here_is_left_to_the_run(opened, tmp_path):
    """Whoever plans may sit at another machine than the data."""
    require_samples(opened(validation=1000), tmp_path / "elsewhere")


def test_data_that_are_not_here_are_named_with_what_helps(opened, tmp_path, monkeypatch):
    """Packed or not: files that are here need nothing; others are said before a night is planned on them."""
    monkeypatch.setenv("LTHSWEEP_DATA", str(tmp_path / "data"))
    source = opened()
    assert missing_data(source, tmp_path / "cache") == missing_data(source, tmp_path / "elsewhere") == ()

    (tmp_path / "texts.csv").unlink()

    assert missing_data(source, tmp_path / "cache") == ()
    (said,) = missing_data(source, tmp_path / "elsewhere")
    assert said == f"data: {tmp_path}/texts.csv does not exist; give the path of your own: --set data.path=…"
    both = open_source("digits-lenet", overrides=['grid."data.name"=["mnist", "digits"]'])
    assert missing_data(both, tmp_path / "cache") == (
        "data: mnist is not on this machine; `lthsweep data prepare mnist` gets it",
    )
