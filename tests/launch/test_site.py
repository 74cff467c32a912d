"""Site profiles, and the job settings that they give together with a sweep's table."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lthsweep
from lthsweep.errors import SpecError
from lthsweep.launch.slurm.sites.profile import (
    About,
    PartitionFacts,
    SiteSettings,
    profile_text,
    read_profile,
)
from lthsweep.launch.slurm.sites.settings_merge import DEFAULTS, merge_settings
from lthsweep.launch.slurm.sites.site import Site, profile_names, site_of
from lthsweep.spec import SlurmSpec, Spec
from lthsweep.spec.slurm_table import JobSettings
from tests.spec.files import spec

ROOT = Path(lthsweep.__file__).parents[1]


def site(local: dict[str, object] | None = None, **slurm: object) -> Site:
    """The site of the good file with these keys of `[slurm]` and `[local]`."""
    return site_of(spec(slurm=slurm, local=local or {}))


def wrong(local: dict[str, object] | None = None, **slurm: object) -> str:
    """The message of the error that these keys raise."""
    with pytest.raises(SpecError) as caught:
        site(local, **slurm)
    return str(caught.value)


@pytest.fixture
def profile(tmp_path):
    """Write a profile and return its path."""

    def write(text: str) -> str:
        file = tmp_path / "mine.toml"
        file.write_text(text, encoding="utf-8")
        return str(file)

    return write


# profiles in the package


def test_the_package_has_two_profiles():
    """Users depend on profiles by name, so the list changes only on purpose."""
    assert profile_names() == ["cannon", "generic"]


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_has_a_description(name):
    """It also parses without errors."""
    assert read_profile(name).about.description


def test_the_generic_profile_requests_the_minimum():
    """Any cluster grants one core, no GPU, and the default partition."""
    assert site() == Site(about="generic (any SLURM cluster)")
    assert site().slots == 1


def test_cannon_defaults_to_idle_gpus_and_sets_memory():
    """Without a memory request a job there gets 100 MB."""
    cannon = site(profile="cannon")

    assert (cannon.partition, cannon.gpus, cannon.gpu_form) == ("gpu_requeue", 1, "gres")
    assert (cannon.cpus, cannon.memory_per_cpu, cannon.slots) == (2, "4G", 1)
    assert (cannon.controller_partition, cannon.controller_memory) == ("shared", "4G")
    assert cannon.poll_seconds == 300
    assert cannon.minutes is None  # the live limit applies, whatever limit the profile has
    assert "/n/netscratch" in cannon.advice


def test_cannon_lists_partitions_sources_and_uncertainties():
    """Facts have a date and sources, and unverified facts are marked."""
    cannon = read_profile("cannon")

    assert set(cannon.partitions) >= {
        *("shared", "sapphire", "test", "gpu", "gpu_test", "gpu_requeue"),
        *("serial_requeue", "bigmem", "intermediate", "gpu_h200"),
    }
    assert all(partition.hours for partition in cannon.partitions.values())
    assert cannon.about.date is not None
    assert len(cannon.about.sources) >= 3
    assert any("gpu_requeue" in doubt for doubt in cannon.about.unsure)


def test_every_example_of_the_generic_profile_is_valid(profile):
    """Users copy the file and uncomment its keys."""
    examples = re.findall(r"^# (\w+ = .*|\[[\w.]+\]|mail-\S+ = .*)$", profile_text("generic"), re.MULTILINE)
    text = "\n".join(line for line in examples if not line.startswith(("cpus_per_gpu", "memory_per_cpu")))
    written = tomllib.loads(text)

    read = read_profile(profile(text))

    assert len(written) > 20
    assert not set(written) - {*SiteSettings.model_fields, "partitions"}
    assert set(read.partitions) == {"gpu", "scavenge"}
    assert read.settings.options == {"mail-type": "FAIL", "mail-user": "me@example.org"}


@pytest.mark.slow
def test_a_package_without_a_checkout_has_its_profiles(tmp_path):
    """Profiles are package data, and a wheel contains the whole package."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["only-include"] == ["lthsweep"]
    shutil.copytree(ROOT / "lthsweep", tmp_path / "lthsweep", ignore=shutil.ignore_patterns("__pycache__"))

    program = (
        "from lthsweep.launch.slurm.sites.site import *; from lthsweep.spec import load_spec\n"
        "print(profile_names(), site_of(load_spec('digits-lenet', ['slurm.profile=cannon'])).partition)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=False,
    )

    assert done.stdout == "['cannon', 'generic'] gpu_requeue\n", done.stderr


# a user's profile


def test_a_profile_can_be_any_file(profile):
    """Users copy a profile and change it."""
    path = profile('partition = "long"\ncpus = 4\n[about]\ndescription = "the lab\'s"\ndate = 2026-11-01\n')

    mine = site(profile=path)

    assert (mine.profile, mine.partition, mine.cpus) == (path, "long", 4)
    assert mine.about == f"{path} (the lab's, as of 2026-11-01)"


def test_an_unknown_profile_is_refused_with_suggestions():
    """The message has the closest name, all names, and the form of a path."""
    message = wrong(profile="canon")

    assert "slurm.profile = 'canon': no such profile" in message
    assert "did you mean 'cannon'?" in message
    assert "cannon, generic" in message
    assert "./my-site.toml" in message


def test_missing_or_binary_profiles_are_refused_with_path(tmp_path):
    """The message has the path as the file contains it."""
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")

    assert f"slurm.profile = '{tmp_path}/no.toml': cannot be read: No such file" in wrong(
        profile=f"{tmp_path}/no.toml"
    )
    assert "is not UTF-8 text (byte 0)" in wrong(profile=f"{tmp_path}/bytes.toml")


def test_all_profile_errors_are_listed_with_lines(profile):
    """A profile is as untrusted as a sweep's file, and the same fields validate it."""
    path = profile(
        'partiton = "gpu"\naccount = "a b"\nfloor_minutes = 40\ntarget_minutes = 30\n'
        'setup = ["a\\nb"]\noptions = { array = "0-9" }\n'
        '[partitions.gpu]\nhour = 3\nqos = "$(id)"\noptions = { --mail = "x" }\n'
        '[about]\ndate = "today"\nnotes = ["x"]\nadvice = ["\\u001b[2J"]\n'
    )

    message = wrong(profile=path)

    assert message.startswith(f"11 problems in {path}:\n")
    settings = [
        line.removeprefix(f"{path}:").split(" = ")[0]
        for line in message.splitlines()
        if line.startswith(f"{path}:")
    ]
    assert settings == [
        "1: partiton",
        "2: account",
        "3: floor_minutes",
        "5: setup[0]",
        "6: options.array",
        "8: partitions.gpu.hour",
        "9: partitions.gpu.qos",
        "10: partitions.gpu.options.--mail",
        "12: about.date",
        "13: about.notes",
        "14: about.advice[0]",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partition = ", ":1: no valid TOML"),
        ("cpus = 1\ncpus = 2\n", "cpus is there twice"),
        ("partitions = 3\n", "must be a table of tables"),
        ("[partitions]\ngpu = 3\n", "partitions.gpu = 3: must be a table"),
        ("[partitions.'a b']\nhours = 3\n", "is not a valid partition name"),
        ("about = 3\n", "about = 3: must be a table"),
        ('profile = "generic"\n', "no such key"),
        ("cpus = 2\ncpus_per_gpu = 2\n", "excludes cpus_per_gpu"),
    ],
)
def test_an_invalid_profile_is_refused_with_its_path(profile, text, message):
    """The message has the file and the place in it."""
    path = profile(text)

    assert message in wrong(profile=path)
    assert path in wrong(profile=path)


# profile, partition, file

_KEYS = st.sampled_from(["account", "qos", "cpus", "memory", "memory_per_cpu", "controller_minutes", "setup"])
_VALUES = {
    "account": "lab",
    "qos": "high",
    "cpus": 7,
    "memory": "3G",
    "memory_per_cpu": "2G",
    "controller_minutes": 3.0,
    "setup": ("a", "b"),
}


@given(st.lists(st.sets(_KEYS), max_size=4))
def test_the_last_layer_that_sets_a_key_wins(layers):
    """Keys that no layer sets have the default."""
    layers = [keys - {"memory"} if "memory_per_cpu" in keys else keys for keys in layers]
    made = [JobSettings(**{key: _VALUES[key] for key in keys}) for keys in layers]

    values = merge_settings(*made)

    for key in set(_VALUES) - {"memory", "memory_per_cpu"}:
        is_set = any(key in keys for keys in layers)
        assert values[key] == (_VALUES[key] if is_set else getattr(DEFAULTS, key))
    ways = [key for keys in layers for key in ("memory", "memory_per_cpu") if key in keys]
    assert [key for key in ("memory", "memory_per_cpu") if values[key] is not None] == ways[-1:]


def test_the_file_overrides_the_partition_overrides_the_profile(profile):
    """Settings of a partition apply only to jobs there."""
    path = profile(
        'partition = "day"\naccount = "lab"\nqos = "normal"\ncpus = 2\n'
        '[partitions.day]\ncpus = 8\n[partitions.week]\nqos = "long"\ncpus = 4\n'
    )

    day, week, mine = (
        site(profile=path),
        site(profile=path, partition="week"),
        site(profile=path, partition="week", qos="x"),
    )

    assert (day.partition, day.account, day.qos, day.cpus) == ("day", "lab", "normal", 8)
    assert (week.partition, week.account, week.qos, week.cpus) == ("week", "lab", "long", 4)
    assert (mine.qos, mine.cpus) == ("x", 4)


def test_options_are_merged_and_false_removes_one(profile):
    """A sweep can add a niceness without repeating the profile's mail address."""
    path = profile("[options]\nmail-user = 'lab@example.org'\nexclusive = true\ncomment = 'x'\n")

    extra = site(profile=path, options={"nice": 100, "comment": False}).extra

    assert extra == {"mail-user": "lab@example.org", "exclusive": "", "nice": "100"}


# GPUs, cores, workers


def test_the_partition_decides_whether_jobs_have_gpus():
    """Users change only the name of the partition."""
    gpu, cpu = site(profile="cannon", partition="gpu"), site(profile="cannon", partition="sapphire")

    assert (gpu.gpus, gpu.cpus, gpu.slots) == (1, 2, 1)
    assert (cpu.gpus, cpu.cpus, cpu.slots, cpu.memory_per_cpu) == (0, 8, 8, "4G")


def test_cores_and_memory_scale_with_the_gpus():
    """Cannon gives two cores per GPU and 4G per core, unless the file sets other values."""
    four = site(profile="cannon", partition="gpu", gpus=4)

    assert (four.cpus, four.memory, four.memory_per_cpu, four.slots) == (8, None, "4G", 4)
    fixed = site(profile="cannon", partition="gpu", gpus=4, memory="10G")
    assert (fixed.memory, fixed.memory_per_cpu) == ("10G", None)
    assert site(profile="cannon", partition="gpu", memory_per_cpu="500").memory_per_cpu == "500"


def test_workers_can_share_a_gpu():
    """The job requests enough cores for them."""
    shared = site(profile="cannon", workers_per_gpu=4, gpus=2)

    assert (shared.slots, shared.workers, shared.cpus) == (8, None, 8)


def test_cpu_jobs_have_one_worker_per_local_threads():
    """The same rule applies on a local machine."""
    assert site(cpus=8).slots == 8
    assert site({"threads": 4}, cpus=9).slots == 2
    assert site({"threads": 4}).cpus == 4


def test_a_job_requests_cores_for_all_its_workers():
    """Users who set the number of workers do not have to count cores."""
    assert site(workers=6).cpus == 6
    assert site({"threads": 2}, workers=6, profile="cannon", partition="shared").cpus == 12
    assert site(workers=2, profile="cannon", partition="shared").cpus == 8


def test_too_few_cores_for_the_workers_are_refused():
    """The workers would share cores during the whole sweep without any sign of it."""
    message = wrong({"threads": 2}, cpus=5, workers=3)

    assert "slurm.cpus = 5: is too few for 3 workers of 2 threads each: make it 6" in message
    assert "slurm.workers or local.threads" in message
    assert "slurm.workers_per_gpu" in wrong(profile="cannon", cpus=1, workers_per_gpu=2)


@given(
    st.integers(1, 4),
    st.integers(1, 8),
    st.integers(0, 4),
    st.none() | st.integers(1, 20),
    st.none() | st.integers(1, 64),
)
def test_workers_never_outnumber_the_cores(threads, per_gpu, gpus, workers, cpus):
    """Holds for any combination that is accepted."""
    ways = {"workers": workers} if workers else {"workers_per_gpu": per_gpu}
    given_ = {
        name: value for name, value in {"gpus": gpus, "cpus": cpus, **ways}.items() if value is not None
    }
    try:
        made = site({"threads": threads}, **given_)
    except SpecError:
        assert cpus is not None
        return
    assert made.slots >= 1
    assert made.slots * threads <= made.cpus or (made.slots == 1 and made.workers is None and not gpus)


def test_runs_on_the_cpu_request_no_gpu():
    """This holds on partitions with GPUs, too."""
    cpu = site({"devices": "cpu"}, profile="cannon")

    assert (cpu.gpus, cpu.slots) == (0, 1)
    assert any("no GPU on gpu_requeue" in warning for warning in cpu.warnings)
    assert "would be idle" in wrong({"devices": "cpu"}, gpus=1)


def test_named_devices_count_as_gpus_of_the_job():
    """Two CUDA devices are two GPUs."""
    assert site({"devices": ["cuda:0", "cuda:1"]}).gpus == 2
    assert "needs 2" in wrong({"devices": ["cuda:0", "cuda:1"]}, gpus=1)


def test_a_gpu_type_requests_one_gpu():
    """Without a GPU the type would have no effect."""
    assert (site(gpu_type="a100").gpus, site(gpu_type="a100").gpu_type) == (1, "a100")


def test_other_gres_require_the_gpus_per_node_form():
    """sbatch uses only the last of two --gres options, and the job would have no GPU."""
    assert "gpus-per-node" in wrong(gpus=1, options={"gres": "lscratch:10"})
    assert site(gpus=1, gpu_form="gpus-per-node", options={"gres": "lscratch:10"}).extra == {
        "gres": "lscratch:10"
    }
    assert site(options={"gres": "lscratch:10"}).extra == {"gres": "lscratch:10"}


# lengths


def test_target_and_floor_shrink_to_the_files_values():
    """A test with five-minute jobs needs one key."""
    trial, short = site(target_minutes=5), site(time="0:20:00")

    assert (trial.target_minutes, trial.floor_minutes) == (5, 5)
    assert (short.minutes, short.target_minutes, short.floor_minutes) == (20, 20, 10)


@given(st.none() | st.floats(0.1, 90), st.none() | st.floats(0, 90), st.none() | st.integers(1, 90))
def test_floor_is_below_target_is_below_walltime(target, floor, time):
    """Holds for any accepted combination, and values from the file are never changed."""
    settings = {"target_minutes": target, "floor_minutes": floor, "time": time}
    try:
        made = site(**{name: value for name, value in settings.items() if value is not None})
    except SpecError:
        assert sum(value is not None for value in settings.values()) >= 1
        return
    assert made.floor_minutes <= made.target_minutes <= (made.minutes or made.target_minutes)
    assert target in (None, made.target_minutes)
    assert floor in (None, made.floor_minutes)


def test_a_target_beyond_the_profiles_walltime_is_refused(profile):
    """The target is from the file and the time from the profile, so the user has to decide."""
    path = profile('time = "1:00:00"\n')

    assert "the profile's longest walltime, 60 min" in wrong(profile=path, target_minutes=90)
    assert site(profile=path, target_minutes=90, time="2:00:00").minutes == 120


# warnings


@pytest.mark.parametrize(
    ("slurm", "warning"),
    [
        ({"partition": "gpu_test"}, "gpu_test takes 2 jobs of a user at a time"),
        ({"partition": "test"}, "test takes 5 jobs"),
        (
            {"partition": "test", "time": "1-0"},
            "slurm.time is 24 hours, but the profile's limit of test is 12 hours",
        ),
        (
            {"partition": "shared", "cpus": 64},
            "64 cores, but by the profile no node of shared has more than 48",
        ),
        ({"partition": "gpu", "gpus": 8}, "8 GPUs, but by the profile no node of gpu has more than 4"),
        ({"partition": "gpu", "gpus": 0}, "no GPU on gpu"),
        ({"partition": "gpu_requeu"}, "has no partition gpu_requeu (did you mean gpu_requeue?)"),
        ({"partition": "gpu,kempner"}, "has no partition kempner"),
    ],
)
def test_a_job_that_contradicts_its_profile_gets_warnings(slurm, warning):
    """The profile's facts can be out of date, so SLURM decides."""
    contradicting = site(profile="cannon", **slurm)

    assert any(warning in text for text in contradicting.warnings)
    assert any(line.startswith("warning: ") and warning in line for line in contradicting.describe())


def test_a_partitions_job_limit_caps_the_elements():
    """The file can override the cap."""
    assert site(profile="cannon", partition="gpu_test").max_elements == 2
    assert site(profile="cannon", partition="gpu_test", max_elements=4).max_elements == 4
    assert site(profile="cannon", partition="shared").max_elements == 1000


def test_a_profile_without_partitions_gives_no_warning():
    """The generic profile cannot know the partitions of a cluster."""
    assert site(partition="anything").warnings == ()


def test_a_site_describes_its_job_and_limits():
    """The plan prints these lines, so that users see the resources that jobs request."""
    lines = site(
        {"threads": 2}, profile="cannon", partition="gpu", gpu_type="a100", account="lab", time="8:00:00"
    ).describe()

    assert lines[:4] == [
        "site profile cannon (FAS Research Computing, Harvard, as of 2026-11-21)",
        "a job: 2 cores, 1 a100 GPU, 4G of memory per core, 1 worker of 2 threads; about 30 min, at most 8 hours",
        "requested: partition gpu, account lab",
        "controller jobs: partition shared; at least 300 s between queries of the queue",
    ]


def test_fields_of_a_site_have_the_keys_names():
    """Fields computed from several keys are the exception."""
    renamed = {"time": "minutes", "options": "extra", "cpus_per_gpu": "cpus"}
    fields = set(Site.__dataclass_fields__)

    assert {renamed.get(name, name) for name in SlurmSpec.model_fields} <= fields
    assert replace(Site(), gpus=2).slots == 2


def test_a_resolved_file_gives_the_same_site():
    """Jobs read the resolved file in the sweep directory and must get the site of the process that submitted them."""
    first: Spec = spec(slurm={"profile": "cannon", "partition": "gpu", "options": {"nice": 1}})

    assert site_of(Spec.model_validate(first.model_dump(exclude_none=True))) == site_of(first)


def test_every_key_of_a_profile_is_documented():
    """The fields have descriptions, and the page for authors of profiles lists them."""
    page = (ROOT / "docs" / "site-profiles.md").read_text(encoding="utf-8")
    facts = {name for name in PartitionFacts.model_fields if name not in JobSettings.model_fields}

    for table in (About, PartitionFacts, SiteSettings):
        assert [name for name, field in table.model_fields.items() if not field.description] == []
    assert [name for name in (*facts, *About.model_fields) if f"`{name}`" not in page] == []
    assert [name for name in profile_names() if f"`{name}`" not in page] == []


def test_the_example_profile_on_the_page_works(profile):
    """Users copy it."""
    page = (ROOT / "docs" / "site-profiles.md").read_text(encoding="utf-8")
    path = profile(re.findall(r'```ini title="my-site.toml"\n(.*?)```', page, re.DOTALL)[0])

    short, gpu = site(profile=path), site(profile=path, partition="gpu")

    assert (short.partition, short.gpus, short.cpus, short.slots) == ("short", 0, 8, 8)
    assert (gpu.qos, gpu.gpus, gpu.cpus, gpu.slots) == ("gpu", 1, 4, 1)
    assert short.memory_per_cpu == gpu.memory_per_cpu == "4G"
    assert gpu.controller_partition == "short"
    assert gpu.extra == {"mail-type": "FAIL"}
    assert (short.warnings, gpu.warnings) == ((), ())
