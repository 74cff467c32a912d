"""Every kind of error in a file, and its message."""

from __future__ import annotations

import pytest

from lthsweep.errors import SpecError
from lthsweep.spec import load_spec
from tests.spec.files import GOOD, message


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"grid__spasity": [0.5]}, "grid.spasity = [0.5]: no such key; did you mean `sparsity`?"),
        ({"train__epoch": 3}, "train.epoch = 3: no such key; did you mean `epochs`?"),
        ({"verdct": {"margin": 1}}, "verdct = { margin = 1 }: no such table; did you mean `verdict`?"),
        ({"train__margin": 1}, "train.margin = 1: no such key; did you mean `verdict.margin`?"),
        ({"model": {"name": "conv2"}}, "belongs into the table sweep: write [sweep.model]"),
        (
            {"sweep__data": {"name": "digits", "sise": 16}},
            "sweep.data.sise = 16: no such key; did you mean `size`?",
        ),
        (
            {"train__optimizer": {"name": "adam", "nesterov": True}},
            "train.optimizer.nesterov = true: no such key; only sgd has it; there are: name, ",
        ),
        (
            {"grid__sparsity": {"level": 3, "rate": 0.2}},
            "grid.sparsity.level = 3: no such key; did you mean `levels`? there are: levels, rate",
        ),
    ],
)
def test_unknown_keys_get_the_nearest_valid_name(changes, expected):
    """A slip of the keyboard must not silently train the default."""
    assert expected in message(**changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"sweep__model": {"name": "mobilenet_v3"}},
            'sweep.model.name = "mobilenet_v3": did you mean "mobilenet_v2"? it must be one of "mobilenet_v2", ',
        ),
        (
            {"sweep__data": {"name": "cifar-10"}},
            'sweep.data.name = "cifar-10": did you mean "cifar10"? it must be one of "digits", ',
        ),
        (
            {"train__optimizer": {"name": "sdg"}},
            'did you mean "sgd"? it must be one of "sgd", "adam", "adamw"',
        ),
        ({"train__schedule": {"name": "cos"}}, 'it must be one of "constant", "step", "cosine"'),
        (
            {"prune__scope": "layers"},
            'prune.scope = "layers": did you mean "layer"? it must be one of "global"',
        ),
        ({"prune__method": "hessian"}, 'prune.method = "hessian": must be one of "magnitude", "random"'),
        ({"sweep__model": {"width": 1.0}}, "sweep.model.name: is missing; it must be one of"),
        (
            {"sweep__model": "conv2"},
            'sweep.model = "conv2": did you mean { name = "conv2" }? it must be a table whose `name` is one of',
        ),
        (
            {"sweep__model": "lenet"},
            'did you mean { name = "lenet_300_100" }? it must be a table whose `name` is one of',
        ),
        (
            {"sweep__data": None},
            'sweep.data: is missing; it must be a table whose `name` is one of "digits",',
        ),
        (
            {"train__schedule": {"name": "step"}},
            "train.schedule.milestones: is missing; it must be a list of",
        ),
        (
            {"sweep__data": {"name": "image_folder"}},
            "sweep.data.path: is missing; it must be text, not empty",
        ),
    ],
)
def test_unknown_or_missing_names_list_known_ones(changes, expected):
    """The message lists the possible values, so no manual is needed."""
    assert expected in message(**changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train__epochs": "ten"}, 'train.epochs = "ten": must be a whole number >= 1'),
        ({"train__epochs": 8.0}, "train.epochs = 8.0: must be a whole number >= 1"),
        ({"train__epochs": True}, "train.epochs = true: must be a whole number >= 1"),
        ({"train__epochs": 0}, "train.epochs = 0: must be a whole number >= 1"),
        ({"train__label_smoothing": True}, "train.label_smoothing = true: must be a number >= 0 and < 1"),
        (
            {"train__optimizer": {"lr": float("inf")}},
            "train.optimizer.lr = inf: must be finite: a number > 0",
        ),
        ({"train__optimizer": {"lr": float("nan")}}, "train.optimizer.lr = nan: must be"),
        ({"train__optimizer": {"nesterov": 1}}, "train.optimizer.nesterov = 1: must be true or false"),
        (
            {"sweep__model": {"name": "mobilenet_v2", "width": 0}},
            "sweep.model.width = 0: must be a number > 0",
        ),
        ({"sweep__name": ""}, 'sweep.name = "": must be one line of text, in any script'),
        ({"sweep__name": "x\n"}, 'sweep.name = "x\\n": must be one line of text'),
        ({"sweep__name": "é" * 101}, "must be one line of text, in any script, of at most 100 characters"),
        ({"sweep__name": "a\u202eb"}, "must be one line of text"),
        ({"train": 3}, "train = 3: must be a table"),
        ({"prune__exclude": "fc"}, 'prune.exclude = "fc": must be a list of texts'),
        ({"prune__exclude": ["fc", 3]}, "prune.exclude[1] = 3: must be a pattern such as `classifier.*`"),
        ({"prune__rates": {"fc3": 2}}, "prune.rates.fc3 = 2: must be a number > 0 and <= 1"),
        (
            {"prune__rates": {"fc1": 1, "fc*": {"rate": 1}}},
            'prune.rates."fc*" = { rate = 1 }: must be a number > 0 and <= 1',
        ),
        ({"prune__rates": ["fc3"]}, 'prune.rates = ["fc3"]: must be a table such as { fc3 = 0.5 }'),
        ({"verdict__margin": -0.1}, "verdict.margin = -0.1: must be a number >= 0 and < 1"),
        ({"verdict__confidence": 1}, "verdict.confidence = 1: must be a number > 0 and < 1"),
        ({"local__workers": 0}, 'local.workers = 0: must be "auto" or a whole number >= 1'),
        ({"train__fuse": 0}, 'train.fuse = 0: must be "auto" or a whole number >= 1'),
        ({"train__fuse": "all"}, 'train.fuse = "all": must be "auto" or a whole number >= 1'),
        ({"local__workers": True}, 'local.workers = true: must be "auto" or a whole number >= 1'),
        ({"local__devices": ["cpu", 3]}, 'local.devices[1] = 3: must be a device such as "cuda:0"'),
        ({"local__devices": []}, "local.devices = []: must not be empty"),
        ({"slurm__partition": 3}, "slurm.partition = 3: must be the name of a partition"),
    ],
)
def test_wrong_values_are_shown_with_allowed_ones(changes, expected):
    """A boolean is not a number, a float not a count, infinity not a learning rate."""
    assert expected in message(**changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"grid__sparsity": [0.5, 1.0]}, "grid.sparsity[1] = 1.0: must be a number >= 0 and < 1"),
        ({"grid__sparsity": [-0.1]}, "grid.sparsity[0] = -0.1: must be a number >= 0 and < 1"),
        ({"grid__sparsity": [float("nan")]}, "grid.sparsity[0] = nan: must be"),
        ({"grid__sparsity": [True]}, "grid.sparsity[0] = true: must be a number >= 0 and < 1"),
        (
            {"grid__sparsity": 0.5},
            "grid.sparsity = 0.5: every key of [grid] is an axis: it must be a list of",
        ),
        ({"grid__sparsity": []}, "grid.sparsity = []: is empty; an axis needs at least one value"),
        ({"grid__seed": []}, "grid.seed = []: is empty; an axis needs at least one value"),
        ({"grid__train.epochs": []}, 'grid."train.epochs" = []: is empty; an axis needs at least one value'),
        ({"grid__sparsity": [0.5, 0.8, 0.5]}, "the value 0.5 is there twice"),
        ({"grid__seed": [1, 1]}, "grid.seed = [1, 1]: the value 1 is there twice"),
        ({"grid__rewind_epoch": [1, 1.0]}, "grid.rewind_epoch = [1, 1.0]: the value 1.0 is there twice"),
        ({"grid__rewind_epoch": [0, "0it"]}, 'the value "0it" is there twice'),
        ({"grid__model.width": [1, 1.0]}, 'grid."model.width" = [1, 1.0]: the value 1.0 is there twice'),
        ({"grid__seed": [-1]}, "grid.seed[0] = -1: must be a whole number >= 0 and < 2^63"),
        (
            {"grid__seed": [2**63]},
            "grid.seed[0] = 9223372036854775808: must be a whole number >= 0 and < 2^63",
        ),
        ({"grid__rewind_epoch": [-1]}, "grid.rewind_epoch[0] = -1: must be a number of epochs >= 0, or"),
        (
            {"grid__rewind_epoch": ["5ep"]},
            'grid.rewind_epoch[0] = "5ep": must be a number of epochs >= 0, or',
        ),
        ({"grid__rewind_epoch": [True]}, "grid.rewind_epoch[0] = true: must be a number of epochs >= 0, or"),
        ({"grid__rewind_epoch": [float("inf")]}, "grid.rewind_epoch[0] = inf: must be a number of epochs"),
        (
            {"grid__sparsity": {"levels": 0, "rate": 0.2}},
            "grid.sparsity.levels = 0: must be a whole number >= 1",
        ),
        (
            {"grid__sparsity": {"levels": 3, "rate": 1}},
            "grid.sparsity.rate = 1: must be a number > 0 and < 1",
        ),
        (
            {"grid__sparsity": {"levels": 3}},
            "grid.sparsity.rate: is missing; it must be a number > 0 and < 1",
        ),
        (
            {"grid__sparsity": {"levels": 900, "rate": 0.2}},
            "grid.sparsity = { levels = 900, rate = 0.2 }: nothing remains after 126 levels",
        ),
        ({"grid__threshold": [0.1]}, "grid.threshold = [0.1]: excludes grid.sparsity"),
        (
            {"grid__sparsity": None},
            "grid: does not set how much to prune: it needs one of the axes sparsity",
        ),
        ({"grid": None}, "grid: does not set how much to prune: it needs one of the axes sparsity"),
        (
            {"grid__sparsity": None, "grid__threshold": [0.1], "prune__method": "random"},
            'prune.method = "random": excludes grid.threshold',
        ),
        ({"prune__schedule": "budget"}, 'prune.schedule = "budget": needs the key prune.time'),
        ({"prune__time": "20m"}, 'prune.time = "20m": needs prune.schedule = "budget"'),
        ({"prune__min_round_epochs": 5}, 'prune.min_round_epochs = 5: needs prune.schedule = "budget"'),
        (
            {"grid__prune.max_rounds": [10, 20]},
            'grid."prune.max_rounds"[1] = 20: needs prune.schedule = "budget"',
        ),
        (
            {"prune__schedule": "budget", "prune__time": "20"},
            'prune.time = "20": must be a time above zero such as "90s", "20m" or "1.5h"',
        ),
        (
            {"prune__schedule": "budget", "prune__time": "0s"},
            'prune.time = "0s": must be a time above zero such as',
        ),
        (
            {"prune__schedule": "budget", "grid__time": ["5m", "five minutes"]},
            'grid."prune.time"[1] = "five minutes": must be a time above zero such as "90s"',
        ),
        (
            {"prune__schedule": "budget", "prune__time": "5m", "grid__control": ["ticket", "random"]},
            'prune.schedule = "budget" works with "ticket" only',
        ),
        (
            {"prune__schedule": "budget", "prune__time": "5m", "prune__rewind": "lr"},
            'prune.schedule = "budget" works with "weights" or "weights+optimizer" only',
        ),
        (
            {"prune__schedule": "budget", "prune__time": "5m", "prune__method": "snip"},
            'prune.schedule = "budget" works with "magnitude" or "random"',
        ),
        (
            {
                "prune__schedule": "budget",
                "prune__time": "5m",
                "grid__sparsity": None,
                "grid__threshold": [0.1],
            },
            'prune.schedule = "budget": excludes grid.threshold',
        ),
        (
            {"grid__sparsity": None, "grid__threshold": [0.1], "prune__method": "filter"},
            'prune.method = "filter": excludes grid.threshold',
        ),
        (
            {"prune__method": "filter", "prune__control": "random"},
            'prune.control = "random": excludes prune.method = "filter"',
        ),
        (
            {
                "grid": {
                    "sparsity": [0.5],
                    "prune.method": ["magnitude", "filter"],
                    "control": ["ticket", "random"],
                }
            },
            "shuffled positions are not whole filters",
        ),
        ({"train__group_lasso": -1e-3}, "train.group_lasso = -0.001: must be a number >= 0"),
        (
            {"prune__rounds": 3},
            'prune.rounds = 3: needs prune.schedule = "iterative"; one-shot is one round',
        ),
        (
            {"grid__rounds": [1, 3]},
            'grid."prune.rounds"[1] = 3: needs prune.schedule = "iterative"; one-shot is one round',
        ),
        (
            {"grid__sparsity": None, "grid__threshold": [0.1], "prune__rounds": 1},
            "prune.rounds = 1: excludes grid.threshold: there are no thresholds in between",
        ),
        (
            {"prune__rounds": 9, "prune__schedule": "iterative", "grid__sparsity": [0.5, 1e-12]},
            "prune.rounds = 9: 9 rounds to a sparsity of 1e-12 are less than 1e-12 apart; lower it",
        ),
        ({"prune__rounds": -1}, "prune.rounds = -1: must be a whole number >= 0 and <= 1000"),
        (
            {"grid__rounds": [1], "grid__prune.rounds": [2]},
            'grid."prune.rounds": the axis prune.rounds is there already, as `rounds`; keep one of them',
        ),
        ({"grid__train.fuse": [1, 2]}, "train.fuse is the same for a whole sweep, and can be no axis"),
        (
            {"prune__schedule": "budget", "grid__prune.time": ["60s", "1m"]},
            'grid."prune.time" = ["60s", "1m"]: the value "1m" is there twice',
        ),
        (
            {
                "sweep__model": {"name": "text_cnn"},
                "sweep__data": {"name": "text_csv", "path": "texts"},
                "train__group_lasso": 0.01,
            },
            "train.group_lasso = 0.01: is not defined for text_cnn",
        ),
        (
            {"prune__scope": "global", "prune__rates": {"fc3": 0.5}},
            'prune.rates = { fc3 = 0.5 }: needs prune.scope = "layer"',
        ),
        (
            {"prune__scope": "layer", "prune__method": "snip", "prune__rates": {"fc3": 0.5}},
            'prune.rates = { fc3 = 0.5 }: needs prune.method = "magnitude"',
        ),
        (
            {
                "prune__scope": "layer",
                "prune__rates": {"fc3": 0.5},
                "grid__sparsity": None,
                "grid__threshold": [0.1],
            },
            "prune.rates = { fc3 = 0.5 }: excludes grid.threshold",
        ),
    ],
)
def test_a_wrong_axis_is_refused(changes, expected):
    """An axis that is empty, doubled or out of range would cost days of unintended training."""
    assert expected in message(**changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"grid__rewind_epoch": [0, 8]}, "grid.rewind_epoch[1] = 8: must be below train.epochs = 8"),
        ({"train__epochs": 2}, "grid.rewind_epoch[1] = 2: must be below train.epochs = 2"),
        (
            {"train__schedule": {"name": "step", "milestones": [4, 8]}},
            "train.schedule.milestones[1] = 8: must be below train.epochs = 8",
        ),
        (
            {"train__schedule": {"name": "step", "milestones": [4, 4]}},
            "train.schedule.milestones[1] = 4: must be above the milestone before it, 4",
        ),
        (
            {"train__schedule": {"name": "step", "milestones": []}},
            "train.schedule.milestones = []: must not be empty",
        ),
        (
            {"train__schedule": {"name": "cosine", "warmup": 8}},
            "train.schedule.warmup = 8.0: must be below train.epochs = 8",
        ),
        (
            {"train__optimizer": {"nesterov": True, "momentum": 0}},
            "train.optimizer.nesterov = true: needs train.optimizer.momentum > 0",
        ),
    ],
)
def test_keys_that_contradict_each_other_are_refused(changes, expected):
    """Each is right alone; together they leave nothing to train, or say something that cannot be."""
    assert expected in message(**changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"grid__train.epochs": [2, 8]},
            'grid."train.epochs"[0] = 2: with this value, grid.rewind_epoch[1] = 2 must be below '
            "train.epochs = 2",
        ),
        ({"grid__model.width": [1, -1]}, 'grid."model.width"[1] = -1: must be a number > 0 and <= 8'),
        ({"grid__model.widht": [1]}, 'grid."model.widht" = [1]: no such key; did you mean `model.width`?'),
        ({"grid__epochs": [4]}, "grid.epochs = [4]: no such key; did you mean `train.epochs`?"),
        ({"grid__prune.scope": ["layer", "all"]}, 'grid."prune.scope"[1] = "all": must be one of "global",'),
        ({"grid__prune.scope": "layer"}, 'grid."prune.scope" = "layer": every key of [grid] is an axis'),
        (
            {"grid__train.epochs": [[4]]},
            'grid."train.epochs"[0] = [4]: must be a number, a text, true or false',
        ),
        (
            {"grid__prune.exclude": ["fc"]},
            'grid."prune.exclude" = ["fc"]: prune.exclude is the same for a whole sweep',
        ),
        ({"grid__data.path": ["/a"]}, 'grid."data.path" = ["/a"]: no such key'),
        (
            {"grid__local.threads": [1]},
            'grid."local.threads" = [1]: local.threads is the same for a whole sweep',
        ),
        (
            {"grid__model.name": ["mobilenet_v2", "conv2"], "grid__model.width": [0.5]},
            'grid."model.width"[0] = 0.5: no such key; only mobilenet_v2 has it among the built-in names; there are: '
            'name, init (seen with model.name = "conv2")',
        ),
        (
            {"grid__model.width": [0.5], "grid__sweep.model.width": [1]},
            'grid."sweep.model.width": the axis model.width is there already, as `model.width`; keep one of them',
        ),
    ],
)
def test_every_combination_of_axes_must_be_valid(changes, expected):
    """The value to blame is named before anything is trained, not when its turn comes at night."""
    assert expected in message(**changes)


def test_errors_independent_of_axes_are_reported_once():
    """The axis of epochs does not affect the order of milestones."""
    schedule = {"name": "step", "milestones": [3, 2]}

    reported = message(train__schedule=schedule, **{"grid__train.epochs": [4, 8]})

    assert reported == "train.schedule.milestones[1] = 2: must be above the milestone before it, 3"


def test_all_errors_are_reported_in_file_order(tmp_path):
    """One correction, not one per error; rules between keys are checked in addition to misspelled keys."""
    file = tmp_path / "bad.toml"
    file.write_text(
        GOOD.replace("epochs = 8", 'epochs = 2\nprecison = "bf16"')
        .replace('"layer"', '"layers"')
        .replace("[0.5, 0.8]", "[0.5, 1.5]")
        .replace("mobilenet_v2", "mobilenet_v3")
        + "[verdct]\n"
    )

    with pytest.raises(SpecError) as caught:
        load_spec(file)

    places = [line for line in str(caught.value).splitlines() if line.startswith(str(file))]
    assert str(caught.value).startswith(f"6 problems in {file}:\n\n{file}:3: ")
    assert [place.removeprefix(f"{file}:").split(" = ")[0] for place in places] == [
        "3: sweep.model.name",
        "8: train.precison",
        "13: prune.scope",
        "16: grid.sparsity[1]",
        "17: grid.rewind_epoch[1]",
        "19: verdct",
    ]


def test_consequences_of_an_error_are_not_reported():
    """If epochs is not a number, no rewind epoch is too large; a misspelled sparsity is not a missing one."""
    assert message(train__epochs="2") == 'train.epochs = "2": must be a whole number >= 1'
    assert "problems" not in message(grid__sparsity=None, grid__spasity=[0.5])


@pytest.mark.parametrize("changes", [{"prune__rounds": 5}, {"grid__rounds": [5]}])
def test_rounds_in_a_budget_are_one_problem(changes):
    """The budget finds the number of rounds; an iterative schedule would not be the remedy."""
    reported = message(prune__schedule="budget", prune__time="5m", **changes)

    assert 'excludes prune.schedule = "budget", which makes as many rounds as fit' in reported
    assert "prune.max_rounds limits them" in reported
    assert "iterative" not in reported and "problems" not in reported
