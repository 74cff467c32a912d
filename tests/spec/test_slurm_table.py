"""The table `[slurm]`: accepted values, rejected values, and no effect on the key of a run."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.errors import SpecError
from lthsweep.plan.expand import expand
from lthsweep.spec import SlurmSpec, commented_template, dump_spec, load_spec, spec_of
from lthsweep.spec.slurm_rules import OPTION_KEYS, RESERVED_OPTIONS
from lthsweep.spec.text_forms import minutes_of
from tests.spec.files import GOOD, message, spec, tables

FULL = {
    "profile": "cannon",
    "partition": "gpu,gpu_requeue",
    "account": "my_lab",
    "qos": "normal",
    "constraint": "a100|h100&ib",
    "reservation": "course_2026",
    "exclude": ["node07", "node[10-12,15]"],
    "time": "1-12:00:00",
    "cpus": 16,
    "gpus": 2,
    "gpu_type": "nvidia_a100-sxm4-80gb",
    "gpu_form": "gpus-per-node",
    "memory": "64G",
    "workers": 8,
    "target_minutes": 45,
    "floor_minutes": 15,
    "grace_seconds": 90,
    "setup": ["module load python", 'export A="b c"; echo $A'],
    "python": "/n/home01/me/envs/lth/bin/python",
    "controller_partition": "shared",
    "controller_minutes": 5,
    "controller_memory": "4G",
    "poll_seconds": 300,
    "lag_seconds": 600,
    "max_elements": 500,
    "attempts": 5,
    "options": {"nice": 100, "mail-user": "me@example.org", "exclusive": True, "gres": "lscratch:10"},
}
PLAIN = (
    "partition",
    "account",
    "qos",
    "constraint",
    "reservation",
    "python",
    "controller_partition",
    "gpu_type",
    "memory",
)
HOSTILE = [
    "a b",
    "a\nb",
    "a\n#SBATCH --uid=0",
    "-x",
    "a;b",
    "$(id)",
    "`id`",
    'a"b',
    "a'b",
    "a\\b",
    "a\x00",
    "",
    "ä",
    "a#b",
]


def test_a_file_can_set_every_profile_key():
    """A single odd setting should need no profile."""
    read = spec(slurm=FULL).slurm

    assert {name for name, value in read if value is None} == {
        "cpus_per_gpu",
        "memory_per_cpu",
        "workers_per_gpu",
    }
    assert read.exclude == ("node07", "node[10-12,15]")
    assert read.options == FULL["options"]


def test_unset_keys_are_left_to_the_profile():
    """A default in the resolved file would override the profile forever."""
    assert {name for name, value in spec().slurm if value is not None} == {"profile"}
    assert tomllib.loads(dump_spec(spec()))["slurm"] == {"profile": "generic"}


def test_a_full_table_survives_dump_and_template():
    """Jobs read the resolved file again; `init` may start from any spec."""
    whole = spec(slurm=FULL)

    assert spec_of(tomllib.loads(dump_spec(whole))) == whole
    assert spec_of(tomllib.loads(commented_template(whole))) == whole


def test_the_examples_in_the_commented_file_are_right():
    """Removing the `#` gives the value that is written there."""
    lines = commented_template().split("[slurm]\n")[1].splitlines()
    examples = [line.removeprefix("# ") for line in lines if " = " in line and line.startswith("# ")]
    keys = [line for line in examples if line.split(" = ")[0] in SlurmSpec.model_fields]

    assert len(keys) == len(SlurmSpec.model_fields) - 1
    for key in keys:
        slurm = tomllib.loads(key) | ({"target_minutes": 30} if key.startswith("floor") else {})
        assert spec(slurm=slurm).slurm != spec().slurm


@pytest.mark.parametrize("changed", [{}, {"profile": "cannon"}, FULL])
def test_the_table_does_not_change_run_keys(changed):
    """The place of a run does not change its result; pinned keys are in tests/plan."""
    assert list(expand(spec(slurm=changed)).runs) == list(expand(spec()).runs)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("value", HOSTILE)
def test_batch_options_have_safe_characters(name, value):
    """A file from another user must not add a line to the batch script, or a word to a command."""
    assert f"slurm.{name} = " in message(slurm={name: value})


@pytest.mark.parametrize("value", [hostile for hostile in HOSTILE if hostile])
def test_nodes_and_options_have_safe_characters(value):
    """Lists and tables are checked element by element."""
    reported = message(slurm={"exclude": ["node1", value], "options": {"comment": value}})

    assert reported.startswith("2 problems")
    assert "slurm.exclude[1] = " in reported
    assert "slurm.options.comment = " in reported


@given(st.text(max_size=8))
def test_accepted_names_have_no_shell_syntax(text):
    """Every accepted value is unchanged, quoted or not."""
    try:
        partition = spec(slurm={"partition": text}).slurm.partition
    except SpecError:
        return
    assert partition == text
    assert not text.startswith("-")
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:,=@%+/-")


@pytest.mark.parametrize("line", ["a\nb", "a\r", "\x1b[2J", "\x00", ""])
def test_a_setup_line_is_one_line(line):
    """Setup is shell by intent, but one line in the file must be one line in the script."""
    assert "slurm.setup[1] = " in message(slurm={"setup": ["module load python", line]})


@pytest.mark.parametrize(
    ("time", "minutes"),
    [
        (90, 90),
        ("90", 90),
        ("90:01", 91),
        ("8:00:00", 480),
        ("00:00:01", 1),
        ("1-12", 36 * 60),
        ("1-12:30", 36 * 60 + 30),
        ("2-00:00:30", 2880 + 1),
        ("0", None),
        ("8h", None),
        ("1:2:3:4", None),
        ("-5", None),
        ("UNLIMITED", None),
        ("٣", None),
    ],
)
def test_times_are_in_slurms_own_forms(time, minutes):
    """ "8:00" is eight minutes, as for sbatch; seconds are rounded up, as by SLURM."""
    assert minutes_of(time) == minutes


@given(st.integers(0, 99), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_all_forms_of_a_time_agree(days, hours, minutes, seconds):
    """One duration, four ways to write it."""
    total = 1440 * days + 60 * hours + minutes + (seconds > 0)

    assert minutes_of(f"{days}-{hours:02}:{minutes:02}:{seconds:02}") == (total or None)
    assert minutes_of(f"{24 * days + hours}:{minutes:02}:{seconds:02}") == (total or None)
    assert minutes_of(f"{1440 * days + 60 * hours + minutes}:{seconds:02}") == (total or None)
    assert minutes_of(total) == (total or None)


def test_a_size_may_be_a_number():
    """`--set slurm.memory=8000` is read as one."""
    assert spec("slurm.memory=8000").slurm.memory == "8000"
    assert spec("slurm.memory=0").slurm.memory == "0"
    assert "slurm.memory = true: must be a size" in message("slurm.memory=true")


@pytest.mark.parametrize(
    ("slurm", "expected"),
    [
        ({"time": "8h"}, 'slurm.time = "8h": must be a time in SLURM\'s form'),
        ({"time": True}, "slurm.time = true: must be a time"),
        ({"time": 0}, "slurm.time = 0: must be a time"),
        ({"cpus": 0}, "slurm.cpus = 0: must be a whole number >= 1"),
        ({"gpus": -1}, "slurm.gpus = -1: must be a whole number >= 0"),
        ({"memory": "8 GB"}, 'slurm.memory = "8 GB": must be a size such as "16G"'),
        ({"memory_per_cpu": "0"}, 'slurm.memory_per_cpu = "0": must be a size'),
        ({"gpu_form": "gpus-per-nodes"}, 'slurm.gpu_form = "gpus-per-nodes": did you mean "gpus-per-node"?'),
        ({"exclude": "node1"}, 'slurm.exclude = "node1": must be a list of nodes'),
        ({"partiton": "gpu"}, 'slurm.partiton = "gpu": no such key; did you mean `partition`?'),
        ({"mail-user": "x"}, 'slurm.mail-user = "x": no such key'),
        ({"options": "--nice"}, 'slurm.options = "--nice": must be a table such as'),
        ({"poll_seconds": 0}, "slurm.poll_seconds = 0: must be a number >= 1"),
        (
            {"floor_minutes": 20, "target_minutes": 5},
            "slurm.floor_minutes = 20.0: must be at most target_minutes = 5",
        ),
        (
            {"target_minutes": 90, "time": "1:00:00"},
            "slurm.target_minutes = 90.0: must be at most 60 minutes",
        ),
        ({"floor_minutes": 90, "time": "1:00:00"}, "slurm.floor_minutes = 90.0: must be at most 60 minutes"),
        ({"cpus": 4, "cpus_per_gpu": 4}, "slurm.cpus = 4: excludes cpus_per_gpu"),
        ({"memory": "4G", "memory_per_cpu": "4G"}, 'slurm.memory = "4G": excludes memory_per_cpu'),
        ({"gpus": 0, "gpu_type": "a100"}, 'slurm.gpu_type = "a100": needs gpus >= 1'),
    ],
)
def test_wrong_values_are_refused_with_allowed_ones(slurm, expected):
    """When the file is read, not when a job has waited a night."""
    assert expected in message(slurm=slurm)


def test_all_errors_are_reported_with_their_line(tmp_path):
    """Types, signs, options and rules between keys in one round."""
    file = tmp_path / "bad.toml"
    file.write_text(
        GOOD + "[slurm]\npartition = 'a b'\ncpus = 0\nfloor_minutes = 20\ntarget_minutes = 5\n"
        "[slurm.options]\narray = '0-9'\nnice = [1]\n"
    )

    with pytest.raises(SpecError) as caught:
        load_spec(file)

    lines = [line for line in str(caught.value).splitlines() if line.startswith(f"{file}:")]
    start = GOOD.count("\n")
    assert [line.removeprefix(f"{file}:").split(" = ")[0] for line in lines] == [
        f"{start + 2}: slurm.partition",
        f"{start + 3}: slurm.cpus",
        f"{start + 4}: slurm.floor_minutes",
        f"{start + 7}: slurm.options.array",
        f"{start + 8}: slurm.options.nice",
    ]


@pytest.mark.parametrize("name", sorted(RESERVED_OPTIONS))
def test_options_that_lthsweep_sets_are_refused(name):
    """A second --array, or another job name, would break the code that finds the jobs again."""
    assert f"slurm.options.{name} = true: cannot be set" in message(slurm={"options": {name: True}})


@pytest.mark.parametrize("name", sorted(OPTION_KEYS))
def test_options_with_a_key_name_it(name):
    """Two ways to set the same value could contradict each other."""
    assert OPTION_KEYS[name] in SlurmSpec.model_fields
    assert f"write slurm.{OPTION_KEYS[name]}" in message(slurm={"options": {name: "1"}})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("mail_user", "x", "as in mail-user"),
        ("--nice", 1, "without dashes in front"),
        ("N", 1, "write its long name"),
        ("a b", 1, "is not an option of sbatch"),
        ("x=1\n#SBATCH --uid", 1, "is not an option of sbatch"),
        ("nice", -1, "a dash in front"),
        ("nice", 1.5, "must be text, a whole number, true or false"),
        ("gres", "gpu:1", "write slurm.gpus"),
        ("gres", "lscratch:1,gpu:a100:1", "write slurm.gpus"),
    ],
)
def test_unsafe_options_are_refused(name, value, expected):
    """They could add lines to the batch script, or contradict another key."""
    assert expected in message(slurm={"options": {name: value}})


def test_other_options_are_left_to_sbatch():
    """SLURM gets new options with every release, and reports the ones that it does not know."""
    options = {"quantum-lanes": 3, "mail-usr": "me", "exclusive": True, "gres": "lscratch:10"}

    assert spec(slurm={"options": options}).slurm.options == options


def test_single_keys_are_set_from_the_command_line():
    """`--set slurm.partition=gpu`, and options by their names."""
    read = load_spec(
        "digits-lenet",
        [
            "slurm.partition=gpu",
            "slurm.time=8:00:00",
            "slurm.cpus=4",
            "slurm.options.mail-type=FAIL",
            "slurm.options.nice=9",
        ],
    ).slurm

    assert (read.partition, read.time, read.cpus) == ("gpu", "8:00:00", 4)
    assert read.options == {"mail-type": "FAIL", "nice": 9}
    with pytest.raises(
        SpecError, match=r"--set slurm\.options\.array=1: slurm\.options\.array = 1: cannot be set"
    ):
        load_spec("digits-lenet", ["slurm.options.array=1"])


@pytest.mark.parametrize(
    "written", ["here.toml", "./here.toml", "sites/here.toml", "~/here.toml", "/etc/here.toml"]
)
def test_the_path_of_a_profile_becomes_absolute(written, tmp_path, monkeypatch):
    """The resolved file is read again by jobs, which start elsewhere. It counts from where the command is typed."""
    monkeypatch.chdir(tmp_path)

    profile = spec_of(tables(slurm={"profile": written})).slurm.profile

    assert profile == str(tmp_path / Path(written).expanduser())
    assert spec_of(tables(slurm={"profile": "cannon"})).slurm.profile == "cannon"
