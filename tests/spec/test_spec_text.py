"""Dump, template, presets and reference: the package can read everything that it writes."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.errors import UnknownNameError
from lthsweep.presets import preset_names, preset_summary, preset_text
from lthsweep.spec import (
    commented_template,
    dump_spec,
    load_spec,
    reference_markdown,
    spec_of,
)
from lthsweep.spec.schema import axis_names, walk
from tests.spec.files import spec

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
labels = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)
plain = st.from_regex(r"[a-z0-9./@][a-z0-9./@-]{0,20}", fullmatch=True)
share = st.floats(0, 0.999)
positive = st.floats(1e-6, 8)
inits = st.sampled_from(
    ["default", "kaiming_normal", "signed_constant", "own.module:scheme@0123456789abcdef"]
)


def optional(**keys):
    """A table with any of these keys."""
    return st.fixed_dictionaries({}, optional=keys)


def named(names, **keys):
    """A table with a name and any of these keys."""
    return st.builds(lambda name, rest: {"name": name, **rest}, st.sampled_from(names), optional(**keys))


def axis(values):
    """A list without duplicates."""
    return st.lists(values, min_size=1, max_size=4, unique=True)


models = named(
    ["mobilenet_v2"],
    strides=st.sampled_from(["imagenet", "cifar"]),
    width=positive,
    dropout=share,
    init=inits,
) | named(["lenet_300_100", "conv4", "resnet20", "vgg16"], init=inits)
data = named(
    ["digits", "cifar100"], validation=st.integers(0, 900), augment=st.sampled_from(["none", "crop"])
) | st.fixed_dictionaries(
    {"name": st.just("image_folder"), "path": words.map(lambda word: "/" + word)},
    optional={"size": st.integers(8, 1024)},
)
optimizers = optional(lr=positive, momentum=share, weight_decay=st.integers(0, 1)) | named(
    ["adam", "adamw"], lr=positive, beta1=share
)
schedules = named(["constant"], warmup=share) | st.fixed_dictionaries(
    {"name": st.just("step"), "milestones": axis(st.integers(1, 49)).map(sorted)}
)
amounts = st.fixed_dictionaries({"sparsity": axis(share)}) | st.fixed_dictionaries(
    {"sparsity": st.fixed_dictionaries({"levels": st.integers(1, 9), "rate": st.floats(0.1, 0.5)})}
)
points = axis(st.integers(0, 49)) | axis(st.integers(1, 900).map("{}it".format)) | axis(st.floats(0, 49.9))
axes = st.builds(
    lambda amount, rest: amount | rest,
    amounts | st.fixed_dictionaries({"threshold": axis(st.floats(0, 9))}),
    optional(
        **{
            "rewind_epoch": points,
            "seed": axis(st.integers(0, 2**63 - 1)),
            "train.epochs": axis(st.integers(50, 60)),
            "train.optimizer.lr": axis(positive),
            "model.init": axis(inits),
            "prune.scope": st.just(["global", "layer"]),
        }
    ),
)
files = st.fixed_dictionaries(
    {
        "sweep": st.fixed_dictionaries(
            {"model": models, "data": data}, optional={"name": labels, "description": words}
        ),
        "train": st.builds(
            lambda rest: {"epochs": 50, **rest},
            optional(optimizer=optimizers, schedule=schedules, precision=st.sampled_from(["fp32", "bf16"])),
        ),
        "grid": axes,
    },
    optional={
        "prune": optional(
            schedule=st.sampled_from(["one-shot", "iterative"]),
            exclude=st.lists(words.filter(bool), max_size=2),
        ),
        "verdict": optional(margin=share, confidence=st.floats(0.5, 0.99)),
        "local": optional(
            workers=st.just("auto") | st.integers(1, 64),
            devices=st.sampled_from(["auto", "cpu"]) | st.lists(words.filter(bool), min_size=1, max_size=2),
            pin=st.booleans(),
        ),
        "slurm": optional(
            profile=st.sampled_from(["cannon", "./here.toml"]),
            partition=plain,
            time=st.integers(1, 9000) | st.sampled_from(["8:00:00", "1-12"]),
            setup=st.lists(plain, max_size=2),
            options=st.dictionaries(st.sampled_from(["nice", "mail-user", "x11"]), plain | st.booleans()),
        ),
    },
)


@given(files)
def test_a_dump_reads_back_as_the_same_spec(tables):
    """The sweep directory's file equals the user's settings, to the last bit of every number."""
    whole = spec_of(tables)
    text = dump_spec(whole)

    again = spec_of(tomllib.loads(text))

    assert again == whole
    assert dump_spec(again) == text


@given(files)
def test_any_template_reads_back_as_its_spec(tables):
    """`lthsweep init` can start from any preset."""
    whole = spec_of(tables)

    assert spec_of(tomllib.loads(commented_template(whole))) == whole


def test_the_template_explains_every_key_of_its_tables():
    """A user should not need the manual to fill in a file."""
    text = commented_template()

    assert spec_of(tomllib.loads(text)).sweep.name == "my-sweep"
    assert (
        "\n# Length of the dense run. A ticket rewound to k trains epochs − k. Must be a whole number" in text
    )
    assert "\n#   adamw: weight_decay, lr, beta1, beta2, eps\n" in text
    assert "\n# threshold = [0.01, 0.02]\n" in text
    assert max(len(line) for line in text.splitlines()) <= 110


def test_the_dump_writes_every_default_out():
    """A reader of the results in two years has no list of defaults of today's version."""
    written = set()

    def collect(table, *path):
        for name, value in table.items():
            written.add((*path, name))
            if isinstance(value, dict):
                collect(value, *path, name)

    collect(tomllib.loads(dump_spec(load_spec("digits-mobilenetv2"))))

    assert {key.path for key in walk() if len(key.path) == 2 and key.field.default is not None} <= written


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_under_its_own_name(name):
    """The name of the preset is the name of the results."""
    assert load_spec(name).sweep.name == name
    assert load_spec(name).sweep.description


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_states_question_time_and_needs(name):
    """The list of presets shows the first line; the rest is read before a night of computing."""
    assert preset_summary(name) == preset_text(name).splitlines()[0].removeprefix("# ")
    assert preset_summary(name)[0].isupper()
    assert "\n# Time: " in preset_text(name)
    assert "\n# Needs: " in preset_text(name)


def test_the_demo_has_the_grid_that_was_promised():
    """At least four sparsities, three rewind epochs and two seeds of MobileNetV2 on digits."""
    demo = load_spec("digits-mobilenetv2")

    assert demo.sweep.model.name == "mobilenet_v2"
    assert demo.sweep.data.name == "digits"
    assert len(demo.grid.axes["sparsity"]) >= 4
    assert len(demo.grid.axes["rewind_epoch"]) >= 3
    assert len(demo.grid.axes["seed"]) >= 2


def test_an_unknown_preset_is_refused_with_the_nearest():
    """As every unknown name."""
    with pytest.raises(UnknownNameError, match="did you mean 'digits-lenet'"):
        preset_text("digits-lennet")


def test_the_reference_has_every_key():
    """The page of the manual is made from it, so that it cannot fall behind."""
    lines = reference_markdown().splitlines()

    assert sum(line.startswith("| `") for line in lines) == sum(1 for _ in walk())
    assert (
        "| `epochs` | a whole number >= 1 | `10` | Length of the dense run. A ticket rewound to k trains "
        "epochs − k. |"
    ) in lines
    assert "## `[grid]`" in lines
    assert '### `[train.optimizer]` with `name = "adamw"`' in lines
    assert all(f"`{name}`" in lines[-1] for name in axis_names())


def test_every_key_is_described():
    """A key without a sentence would be blank in the template and in the manual."""
    assert [key.path for key in walk() if not key.field.description] == []


def test_reading_a_file_imports_no_torch():
    """`plan`, `status` and `query` read the file and must start at once."""
    code = (
        "import sys, lthsweep.spec; lthsweep.spec.load_spec('digits-lenet'); "
        "print([name for name in ('torch', 'torchvision', 'numpy', 'pandas') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_a_dotted_axis_survives_the_dump():
    """Its name has a dot and needs quotes."""
    whole = spec(**{"grid__model.width": [0.5, 1], "grid__prune.method": ["magnitude", "random"]})

    assert '"model.width" = [' in dump_spec(whole)
    assert spec_of(tomllib.loads(dump_spec(whole))) == whole
