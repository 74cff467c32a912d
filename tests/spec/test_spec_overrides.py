"""`--set a.b=v` and `Spec.variant`."""

from __future__ import annotations

import pytest

from lthsweep.errors import SpecError
from lthsweep.spec import dump_spec, load_spec, spec_of
from tests.spec.files import message, spec


@pytest.mark.parametrize(
    ("override", "read", "value"),
    [
        ("train.epochs=4", lambda s: s.train.epochs, 4),
        ("train.epochs = 4", lambda s: s.train.epochs, 4),
        ("train.optimizer.lr=1e-3", lambda s: s.train.optimizer.lr, 1e-3),
        ("train.optimizer.nesterov=true", lambda s: s.train.optimizer.nesterov, True),
        ("prune.rewind=weights+optimizer", lambda s: s.prune.rewind, "weights+optimizer"),
        ('prune.rewind="lr"', lambda s: s.prune.rewind, "lr"),
        ("grid.seed=[0,1,2]", lambda s: s.grid.seed, (0, 1, 2)),
        ('grid.rewind_epoch=[0, "500it"]', lambda s: s.grid.rewind_epoch, (0, "500it")),
        ("grid.sparsity={levels=2, rate=0.5}", lambda s: s.grid.sparsity, (0.5, 0.75)),
        ("model.width=0.25", lambda s: s.sweep.model.width, 0.25),
        ("sweep.model.width=0.25", lambda s: s.sweep.model.width, 0.25),
        ("data.validation=100", lambda s: s.sweep.data.validation, 100),
        ("sweep.description=a = b", lambda s: s.sweep.description, "a = b"),
        ("sweep.description=2026-11-20", lambda s: s.sweep.description, "2026-11-20"),
        ("sweep.description=", lambda s: s.sweep.description, ""),
        ("grid.model.width=[0.5,1]", lambda s: s.grid.axes["model.width"], (0.5, 1)),
        ('grid."sweep.model.width"=[0.5,1]', lambda s: s.grid.axes["model.width"], (0.5, 1)),
        ("local.workers=2", lambda s: s.local.workers, 2),
        ("local.devices=cpu", lambda s: s.local.devices, "cpu"),
    ],
)
def test_a_value_is_toml_or_else_plain_text(override, read, value):
    """Quotes inside quotes are the shell's plague; a bare word is enough."""
    assert read(spec(override)) == value


def test_the_later_of_two_overrides_holds():
    """As on every command line."""
    assert spec("train.epochs=4", "train.epochs=5").train.epochs == 5


def test_an_axis_under_two_names_is_refused():
    """Both look like two axes; one would be lost silently."""
    twice = ["prune.schedule=iterative", "grid.rounds=[1]", "grid.prune.rounds=[2]"]

    assert '--set grid.prune.rounds=[2]: grid."prune.rounds" = [2]: is given as grid.rounds too' in message(
        *twice
    )
    assert spec(*twice[:2], "grid.rounds=[2]").grid.dotted == {"prune.rounds": (2,)}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.epoch=4", "--set train.epoch=4: train.epoch = 4: no such key; did you mean `epochs`?"),
        ("epochs=4", "--set epochs=4: epochs = 4: no such key; did you mean `train.epochs`?"),
        ("model.widht=1", "--set model.widht=1: sweep.model.widht = 1: no such key; did you mean `width`?"),
        ("grid.seeds=[1]", "--set grid.seeds=[1]: grid.seeds = [1]: no such key; did you mean `seed`?"),
        ("train.epochs=ten", '--set train.epochs=ten: train.epochs = "ten": must be a whole number >= 1'),
        ("train.optimizer.lr=nan", "train.optimizer.lr = nan: must be"),
        ("train.optimizer.nesterov=True", 'train.optimizer.nesterov = "True": must be true or false'),
        ("train.epochs", "write a key, an equals sign and a value: --set train.epochs=4"),
        ("=4", "write a key, an equals sign and a value: --set train.epochs=4"),
        ("train=4", "--set train=4: train: is a table; set one of its keys, as in --set train.epochs=…"),
        ("train.epochs=1\nbatch_size=2", "must be a whole number >= 1"),
        (
            "grid.train.epochs=[2]",
            '--set grid.train.epochs=[2]: grid."train.epochs"[0] = 2: with this value,',
        ),
    ],
)
def test_wrong_overrides_are_shown_as_given(override, expected):
    """The file is right then; the command line is to blame."""
    assert expected in message(override)


def test_overrides_and_file_are_complained_of_together():
    """All errors at once, wherever they are."""
    reported = message("train.epoch=4", "grid.seed=[]", prune__scope="layers")

    assert reported.startswith("3 problems in the settings:")


def test_another_optimizer_resets_unknown_and_default_keys():
    """Momentum means nothing to Adam, and 0.1, SGD's default learning rate, would wreck it."""
    optimizer = spec("train.optimizer.name=adam", train__optimizer={"name": "sgd", "momentum": 0.5})

    assert optimizer.train.optimizer.model_dump() == {
        "name": "adam",
        "lr": 1e-3,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.0,
    }


def test_another_optimizer_keeps_chosen_known_keys():
    """A learning rate in the file is intended."""
    assert spec("train.optimizer.name=adam").train.optimizer.lr == 0.05


def test_keys_of_a_variant_take_any_order():
    """`name` is applied first, or it would reset its neighbors on the command line."""
    overrides = ["train.optimizer.lr=0.01", "train.optimizer.beta1=0.8", "train.optimizer.name=adam"]

    assert spec(*overrides).train.optimizer.model_dump(include={"lr", "beta1"}) == {"lr": 0.01, "beta1": 0.8}


def test_overrides_commute_with_resolving():
    """The sweep directory holds the resolved file; both must name the same runs."""
    for override in ["train.optimizer.name=adamw", "data.name=cifar10", "train.schedule.name=constant"]:
        plain = load_spec("digits-lenet")
        resolved = spec_of(plain.model_dump(exclude_none=True), [override])

        assert resolved == load_spec("digits-lenet", [override])


def test_threshold_takes_the_place_of_sparsity_and_back():
    """A command line cannot delete a key."""
    by_threshold = spec("grid.threshold=[0.01]").grid

    assert (by_threshold.sparsity, by_threshold.threshold) == (None, (0.01,))
    assert "excludes grid.sparsity" in message("grid.threshold=[0.01]", "grid.sparsity=[0.5]")


def test_levels_can_be_set_alone():
    """`levels` and `rate` are keys like others."""
    grid = load_spec("digits-lenet", ["grid.sparsity.levels=2"]).grid

    assert grid.sparsity == (0.5, 0.75)
    assert spec("grid.sparsity.levels=2", "grid.sparsity.rate=0.2").grid.sparsity == (0.2, 0.36)


def test_a_variant_changes_only_the_set_values():
    """Each combination of the dotted axes is a separate recipe."""
    plain = spec()
    variant = plain.variant({"model.width": 1, "train.optimizer.lr": 0.2, "prune.scope": "global"})

    assert (variant.sweep.model.width, variant.train.optimizer.lr, variant.prune.scope) == (
        1.0,
        0.2,
        "global",
    )
    assert (variant.grid, variant.local, variant.sweep.data) == (plain.grid, plain.local, plain.sweep.data)
    assert plain.variant({}) == plain
    assert plain.sweep.model.width == 0.5


def test_variants_of_equal_specs_are_equal():
    """Also where one of them was written out with every default: keys of runs must not depend on it."""
    plain = spec(train__optimizer={"name": "sgd", "momentum": 0.5})
    resolved = spec_of(plain.model_dump(exclude_none=True))
    settings = {"train.optimizer.name": "adam", "model.name": "conv2"}

    assert resolved == plain
    assert resolved.variant(settings) == plain.variant(settings)
    assert plain.variant(settings).train.optimizer.lr == 1e-3


def test_a_variant_can_have_another_grid():
    """The grid's own keys are values as well."""
    assert spec().variant({"grid.seed": [5], "grid.model.width": [1]}).grid.axes == {
        "sparsity": (0.5, 0.8),
        "rewind_epoch": (0, 2),
        "seed": (5,),
        "model.width": (1,),
    }


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"train.epochs": 2}, r"grid\.rewind_epoch\[1\] = 2: must be below train\.epochs = 2"),
        ({"train.epochs": True}, r"train\.epochs = true: must be a whole number"),
        ({"model.depth": 2}, r"sweep\.model\.depth = 2: no such key"),
        ({"train": {}}, r"train = {}: "),
        ({"model.name": "vgg-16"}, r'sweep\.model\.name = "vgg-16": did you mean "vgg16"'),
    ],
)
def test_a_wrong_variant_is_refused(settings, expected):
    """A worker would otherwise find out."""
    with pytest.raises(SpecError, match=expected):
        spec().variant(settings)


def test_reading_does_not_expand_the_grid():
    """100 seeds × 100 sparsities × 10 rewind epochs are 210 values, not 100,000."""
    grid = spec(
        grid__sparsity=[i / 100 for i in range(100)],
        grid__rewind_epoch=[i / 2 for i in range(10)],
        grid__seed=list(range(100)),
    ).grid

    assert [len(values) for values in grid.axes.values()] == [100, 10, 100]


def test_dotted_axes_of_different_tables_are_checked_apart(monkeypatch):
    """100 learning rates and 100 widths are valid or not on their own: 200 checks, not 10,000."""
    import lthsweep.spec.combinations as checks

    calls = []

    def counted(tables, settings):
        calls.append(settings)
        return with_settings(tables, settings)

    with_settings = checks.with_settings
    monkeypatch.setattr(checks, "with_settings", counted)
    values = [i / 100 for i in range(1, 101)]

    spec(**{"grid__train.optimizer.lr": values, "grid__model.width": values})

    assert len(calls) == 200


def test_the_dump_is_readable_toml_with_names_first():
    """The name defines the meaning of the other keys of a table."""
    lines = dump_spec(spec()).splitlines()

    assert lines[lines.index("[train.optimizer]") + 1] == 'name = "sgd"'
