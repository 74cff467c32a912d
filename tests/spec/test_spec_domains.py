"""Texts and sounds in the file: defaults, labels, and networks that cannot read them."""

from __future__ import annotations

import pytest

from lthsweep.data.datasets import DATASETS
from lthsweep.errors import SpecError
from lthsweep.models.networks import NETWORKS
from lthsweep.plan.expand import expand
from lthsweep.spec import spec_of
from lthsweep.spec.fields import OWN_CODE
from lthsweep.spec.schema import variants
from lthsweep.spec.sweep_table import SweepSpec

OWN = ("image_folder", "text_csv", "text_folder", "audio_folder")
MODEL = {
    "text_csv": "text_cnn",
    "text_folder": "text_transformer",
    "audio_folder": "audio_cnn",
    "image_folder": "conv2",
}


def spec(data, *overrides, model=None, path="some/corpus.zip", **grid):
    model = model if isinstance(model, dict) else {"name": model or MODEL[data]}
    tables = {
        "sweep": {"model": model, "data": {"name": data, "path": path}},
        "grid": {"sparsity": [0.5], **grid},
    }
    return spec_of(tables, overrides)


def message(*given, **more):
    with pytest.raises(SpecError) as caught:
        spec(*given, **more)
    return str(caught.value)


@pytest.mark.parametrize("name", OWN)
def test_the_file_and_packs_have_equal_defaults(name):
    """A data set prepared by its name is the one that a file without options asks for."""
    data = spec(name).sweep.data.model_dump()

    known = {key: option.default for key, option in DATASETS[name].options.items()}
    assert {key: data[key] for key in known} == known


@pytest.mark.parametrize("option", ["data.length=32", "data.tokens=char", "data.vocabulary=500"])
def test_options_of_texts_are_part_of_a_key(option):
    """They change the input of the network."""
    assert not set(expand(spec("text_csv")).runs) & set(expand(spec("text_csv", option)).runs)


def test_the_file_accepts_every_entry_and_code():
    """Allowed names come from the registries; every kind of data has a network."""
    models, data = (variants(SweepSpec.model_fields[name]) for name in ("model", "data"))

    assert set(models) == {*NETWORKS, OWN_CODE}
    assert set(data) == {*DATASETS, OWN_CODE}
    assert {entry.gives for entry in DATASETS.values()} == {entry.reads for entry in NETWORKS.values()}


def test_networks_that_cannot_read_the_data_are_refused():
    """With the networks that can."""
    assert (
        'sweep.model.name = "resnet20": reads images, but text_csv gives texts; choose a network for texts: text_cnn, '
        "text_transformer"
    ) in message("text_csv", model="resnet20")
    assert "choose a network for images: mobilenet_v2, " in message("audio_folder", model="text_cnn")
    assert 'grid."model.name"[1] = "conv2": ' in message("text_csv", **{"model.name": ["text_cnn", "conv2"]})


def test_heads_must_divide_the_embedding():
    """Reported for the file, not by the worker."""
    model = {"name": "text_transformer", "embedding": 10, "heads": 4}

    assert "sweep.model.heads = 4: must divide sweep.model.embedding = 10" in message("text_csv", model=model)


def test_synflow_is_refused_for_networks_without_flow():
    """Before the dense runs are trained for nothing."""
    reported = message("text_csv", "prune.method=synflow", model="text_transformer")

    assert "not defined for text_transformer" in reported
    assert spec("text_csv", "prune.method=synflow").prune.method == "synflow"


def test_rules_between_tables_hold_for_axes():
    """An axis of networks can reach one that the pruning method of another table excludes."""
    networks = {"model.name": ["text_cnn", "text_transformer"]}

    assert 'grid."model.name"[1] = "text_transformer"' in message(
        "text_csv", "prune.method=synflow", **networks
    )
    assert 'grid."prune.method"[1] = "synflow"' in message(
        "text_csv", model="text_transformer", **{"prune.method": ["magnitude", "synflow"]}
    )


def test_two_varied_tables_are_checked_by_the_plan():
    """Only there each combination is made."""
    axes = {"model.name": ["text_cnn", "text_transformer"], "prune.method": ["magnitude", "synflow"]}

    with pytest.raises(SpecError, match="not defined for text_transformer"):
        expand(spec("text_csv", **axes))


@pytest.mark.parametrize(
    ("name", "override", "expected"),
    [
        ("text_csv", "data.augment=crop", "no such key; only "),
        ("text_csv", "data.length=3", "must be a whole number >= 8 and <= 4096"),
        ("text_csv", "data.vocabulary=70000", "<= 65536"),
        ("text_csv", "data.tokens=bpe", 'one of "word", "char"'),
        ("audio_folder", "data.augment=crop-flip", 'one of "none", "shift", "crop"'),
        ("audio_folder", "data.mels=1", ">= 8"),
    ],
)
def test_options_out_of_range_are_named(name, override, expected):
    """Sound played backwards is another sound; texts have no border."""
    assert expected in message(name, override)


def test_plans_work_with_files_of_unknown_size():
    """As for folders of images: epochs are counted, steps are not."""
    plan = expand(spec("text_csv", rewind_epoch=[0, 1], seed=[0, 1]))

    assert len(plan.runs) == 2 * (1 + 2)
