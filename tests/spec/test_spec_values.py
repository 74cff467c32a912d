"""Allowed values of the keys, their defaults, and the axes of the grid."""

from __future__ import annotations

import pickle

import pytest
from pydantic import ValidationError

from lthsweep.errors import SpecError
from lthsweep.models.networks import NETWORKS
from lthsweep.spec import SlurmSpec, Spec, spec_of
from tests.spec.files import spec, tables


def test_defaults_are_those_of_the_protocol():
    """A file with only a model, data and a sparsity is a complete recipe."""
    whole = spec_of(
        {
            "sweep": {"model": {"name": "mobilenet_v2"}, "data": {"name": "cifar10"}},
            "grid": {"sparsity": [0.9]},
        }
    )

    assert whole.model_dump() == {
        "sweep": {
            "name": "sweep",
            "description": "",
            "model": {
                "name": "mobilenet_v2",
                "init": "default",
                "strides": "imagenet",
                "width": 1.0,
                "dropout": 0.2,
            },
            "data": {
                "name": "cifar10",
                "train_images": 0,
                "validation": 5000,
                "augment": "crop-flip",
                "padding": 4,
                "normalize": "dataset",
            },
            "sources": {},
        },
        "train": {
            "epochs": 10,
            "batch_size": 128,
            "precision": "fp32",
            "label_smoothing": 0.0,
            "group_lasso": 0.0,
            "fuse": "auto",
            "optimizer": {
                "name": "sgd",
                "lr": 0.1,
                "momentum": 0.9,
                "nesterov": False,
                "weight_decay": 0.0,
            },
            "schedule": {"name": "constant", "warmup": 0.0},
        },
        "prune": {
            "method": "magnitude",
            "scope": "global",
            "schedule": "one-shot",
            "time": "",
            "min_round_epochs": 1,
            "max_rounds": 10,
            "rounds": 0,
            "rewind": "weights",
            "control": "ticket",
            "exclude": (),
            "rates": {},
        },
        "grid": {"sparsity": (0.9,), "threshold": None, "rewind_epoch": (0,), "seed": (0,)},
        "verdict": {"margin": 0.002, "confidence": 0.95},
        "local": {
            "workers": "auto",
            "threads": 1,
            "devices": "auto",
            "checkpoint_seconds": 300.0,
            "retries": 2,
            "pin": True,
        },
        "slurm": dict.fromkeys(SlurmSpec.model_fields) | {"profile": "generic"},
    }


@pytest.mark.parametrize(
    ("data", "validation", "augment"),
    [
        ({"name": "digits"}, 150, "none"),
        ({"name": "mnist"}, 5000, "none"),
        ({"name": "cifar100"}, 5000, "crop-flip"),
        ({"name": "tiny_imagenet"}, 5000, "crop-flip"),
        ({"name": "image_folder", "path": "/data/birds.zip"}, 0, "none"),
    ],
)
def test_defaults_of_data_depend_on_the_data_set(data, validation, augment):
    """150 images are a tenth of the digits; a flipped digit is another digit, a flipped ship is a ship."""
    read = spec(sweep__data=data).sweep.data

    assert (read.validation, read.augment) == (validation, augment)


@pytest.mark.parametrize("path", ["my photos", "Größe", "数据/图像.zip", "../x (1)"])
def test_any_path_of_data_is_accepted(path):
    """No other key is made from it."""
    assert spec(sweep__data={"name": "image_folder", "path": path}).sweep.data.path == path


def test_sources_are_digests():
    """They are written by lthsweep; the message for an edited one has the form."""
    assert spec(sweep__sources={"digits size=32": "0" * 64}).sweep.sources == {"digits size=32": "0" * 64}
    with pytest.raises(SpecError, match=r"sweep\.sources.* 64 hexadecimal digits"):
        spec(sweep__sources={"digits size=32": "new"})


@pytest.mark.parametrize("name", [name for name, entry in NETWORKS.items() if entry.reads == "images"])
def test_every_model_can_be_named_alone(name):
    """A depth is part of a name, so a model needs no further key."""
    assert spec(sweep__model={"name": name}).sweep.model.name == name


def test_integers_are_taken_for_numbers():
    """People write lr = 1."""
    optimizer = spec(train__optimizer={"name": "sgd", "lr": 1}).train.optimizer

    assert optimizer.lr == 1.0
    assert type(optimizer.lr) is float


def test_unnamed_optimizers_are_sgd_with_constant_rate():
    """`optimizer = { lr = 0.05 }` changes the learning rate of the default, and no more."""
    train = spec(train__optimizer={"lr": 0.05}, train__schedule={"warmup": 0.5}).train

    assert (train.optimizer.name, train.optimizer.lr) == ("sgd", 0.05)
    assert (train.schedule.name, train.schedule.warmup) == ("constant", 0.5)


def test_bfloat16_is_a_precision():
    """GPUs are an order of magnitude faster in it."""
    assert spec(train__precision="bf16").train.precision == "bf16"


def test_levels_and_rate_give_iterative_sparsities():
    """Twelve digits, because 1 - 0.8 is 0.19999999999999996 in binary."""
    assert spec(grid__sparsity={"levels": 4, "rate": 0.2}).grid.sparsity == (0.2, 0.36, 0.488, 0.5904)


def test_rewind_epochs_stay_as_written():
    """Epochs may be fractions; iterations are another unit; the table shows both as the user wrote them."""
    points = spec(grid__rewind_epoch=[0, 0.5, 2, "500it"]).grid.rewind_epoch

    assert points == (0, 0.5, 2, "500it")
    assert [type(point) for point in points] == [int, float, int, str]


def test_axes_have_a_fixed_order_before_dotted_ones():
    """The order of the axes is the order of the table's columns."""
    grid = spec(grid__sparsity=None, grid__threshold=[0.01], **{"grid__prune.scope": ["layer"]}).grid

    assert list(grid.axes.items()) == [
        ("threshold", (0.01,)),
        ("rewind_epoch", (0, 2)),
        ("seed", (0, 1)),
        ("prune.scope", ("layer",)),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"grid__model.width": [0.5, 1]},
        {"grid__sweep.model.width": [0.5, 1]},
        {"grid__model": {"width": [0.5, 1]}},
        {"grid__sweep": {"model": {"width": [0.5, 1]}}},
    ],
)
def test_dotted_axes_have_four_spellings(changes):
    """In TOML an unquoted `model.width` is a table in a table; users should not have to know."""
    assert spec(**changes).grid.axes["model.width"] == (0.5, 1)


def test_an_axis_of_epochs_replaces_the_files_epochs():
    """No cell trains for the file's epochs then, so rewinding beyond them is not an error."""
    grid = spec(train__epochs=1, grid__rewind_epoch=[3], **{"grid__train.epochs": [4, 8]}).grid

    assert grid.axes["train.epochs"] == (4, 8)


def test_a_spec_is_immutable_and_survives_pickling():
    """Workers get it from another process, and it must not change meanwhile."""
    whole = spec(**{"grid__model.width": [0.5, 1]})

    assert pickle.loads(pickle.dumps(whole)) == whole
    with pytest.raises(ValidationError):
        whole.train.epochs = 3


def test_specs_built_in_python_are_checked_too():
    """A spec that exists is right, whichever door it came through."""
    with pytest.raises(ValidationError, match=r"must be below train\.epochs = 2"):
        Spec.model_validate(tables(train__epochs=2))
