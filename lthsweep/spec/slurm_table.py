"""`[slurm]`: the resources that a sweep requests from a cluster. No key changes a run.

Keys have no defaults here: the site profile decides those that the file leaves out
(`lthsweep.launch.slurm.sites.profile`). A profile has the same keys, read by the same fields.

Values are written to `#SBATCH` lines. They contain only letters, digits and a few signs that have no special meaning
for a shell or sbatch, so a file from another person cannot start a program. `setup` is the exception: it is shell code.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from lthsweep.spec.fields import Allowed, FileTable, Number, Text, Whole
from lthsweep.spec.text_forms import FEATURES, LINE, NODES, PLAIN, PLAIN_TEXT, SIZE, WORD, minutes_of

__all__ = ["JobSettings", "Line", "PartitionName", "SlurmSpec"]

Line = Annotated[Text, Field(pattern=LINE, max_length=4096)]
"""One line of text."""

PartitionName = Annotated[
    Text | None, Field(pattern=PLAIN), Allowed("the name of a partition, or several with commas")
]


def _as_text(size: object) -> object:
    """A number without unit as text, in megabytes."""
    return str(size) if type(size) is int else size


_Size = Annotated[
    Text | None, BeforeValidator(_as_text), Allowed('a size such as "4G" (K, M, G, T; megabytes without)')
]


def _checked_time(time: str | int | None) -> str | int | None:
    if time is not None and minutes_of(time) is None:
        raise ValueError("not a time")
    return time


def _absolute(profile: str) -> str:
    """A path as an absolute one: the resolved file is read again by jobs, in other directories."""
    if "/" not in profile and not profile.endswith(".toml"):
        return profile
    path = Path(profile)
    with contextlib.suppress(RuntimeError):  # an unknown user after ~; the missing file is reported later
        path = path.expanduser()
    return str(path.absolute())


def _setting(example: object, description: str, **limits: Any) -> Any:
    """A field without a default here; pydantic types it as Any."""
    return Field(None, examples=[example], description=description, **limits)


class JobSettings(FileTable):
    """Settings of jobs, which a cluster, one of its partitions, and a sweep can give."""

    account: Annotated[Text | None, Allowed(f"an account: text {PLAIN_TEXT}")] = _setting(
        "my_lab", "The account that is charged; defaults to your default account in SLURM.", pattern=PLAIN
    )
    qos: Annotated[Text | None, Allowed(f"a quality of service: text {PLAIN_TEXT}")] = _setting(
        "normal", "The quality of service.", pattern=PLAIN
    )
    constraint: Annotated[Text | None, Allowed('features of nodes, such as "a100" or "a100|h100"')] = (
        _setting("a100|h100", "Features that nodes must have.", pattern=FEATURES)
    )
    reservation: Annotated[Text | None, Allowed(f"a reservation: text {PLAIN_TEXT}")] = _setting(
        "my_course", "A reservation to run in.", pattern=PLAIN
    )
    exclude: Annotated[
        tuple[Annotated[Text, Field(pattern=NODES)], ...] | None,
        Allowed(
            'a list of nodes such as ["node07", "node[10-12]"]', 'a node or several, such as "node[10-12]"'
        ),
    ] = _setting(["node07"], "Nodes that jobs avoid.")
    time: Annotated[
        Text | Annotated[Whole, Field(ge=1)] | None,
        AfterValidator(_checked_time),
        Allowed('a time in SLURM\'s form: minutes, "8:00:00" or "1-12:00:00"'),
    ] = _setting(
        "8:00:00",
        "The longest walltime of a job; defaults to the partition's limit, read from SLURM. Jobs request "
        "only the time that they need.",
    )
    cpus: Whole | None = _setting(
        8, "Cores of a job; defaults to the number that its workers need.", ge=1, le=100_000
    )
    cpus_per_gpu: Whole | None = _setting(
        8, "Cores of a job with GPUs, for each; instead of cpus.", ge=1, le=10_000
    )
    gpus: Whole | None = _setting(
        1, "GPUs of a job, all on one node. The profile lists the partitions that need one.", ge=0, le=64
    )
    gpu_type: Annotated[Text | None, Allowed('a type of GPU as the cluster calls it, such as "a100"')] = (
        _setting(
            "a100",
            'The type of GPU, where the cluster\'s GPUs have types; see `sinfo -o "%P %G"`.',
            pattern=WORD,
        )
    )
    gpu_form: Literal["gres", "gpus-per-node", "gpus"] | None = _setting(
        "gres", "How GPUs are requested: `--gres=gpu:1`, `--gpus-per-node=1` or `--gpus=1`; defaults to gres."
    )
    memory: Annotated[
        Text | None,
        BeforeValidator(_as_text),
        Allowed('a size such as "16G" (K, M, G, T; megabytes without; "0" for all of a node)'),
    ] = _setting("16G", "Memory of a job; defaults to the cluster's setting.", pattern=f"{SIZE}|^0$")
    memory_per_cpu: _Size = _setting(
        "4G", "Memory of a job for each of its cores; instead of memory.", pattern=SIZE
    )
    workers: Whole | None = _setting(
        8,
        "Runs that a job trains at the same time; defaults to one per core (per local.threads cores), "
        "or workers_per_gpu per GPU.",
        ge=1,
        le=10_000,
    )
    workers_per_gpu: Whole | None = _setting(
        2, "Runs that share a GPU; defaults to 1. Small networks leave most of a GPU idle.", ge=1, le=64
    )
    target_minutes: Number | None = _setting(
        30,
        "Minutes of training that a job requests time for, if so much work follows its first runs; "
        "defaults to 30. A run of unknown length counts as this long.",
        gt=0,
    )
    floor_minutes: Number | None = _setting(
        10,
        "Minutes of work, descendants included, that each worker of a further job must have; "
        "defaults to 10. Also the shortest walltime.",
        ge=0,
    )
    grace_seconds: Whole | None = _setting(
        120,
        "A job writes checkpoints and requeues itself this long before its time limit; defaults to 120.",
        ge=0,
        le=3600,
    )
    setup: Annotated[
        tuple[Line, ...] | None,
        Allowed("a list of shell lines", "one line of shell without control characters"),
    ] = _setting(["module load python"], "Shell lines that jobs run first: modules, environments, variables.")
    python: Annotated[Text | None, Allowed(f"the path of an interpreter: text {PLAIN_TEXT}")] = _setting(
        "/home/me/envs/lthsweep/bin/python",
        "The Python interpreter of jobs; defaults to the one that submits them.",
        pattern=PLAIN,
    )
    controller_partition: PartitionName = _setting(
        "shared",
        "Partition of the controller jobs (one core, no GPU, minutes); defaults to the sweep's partition.",
    )
    controller_minutes: Number | None = _setting(
        10,
        "Minutes until the next controller job if a limit kept ready runs without a job; defaults to 10. "
        "Otherwise it waits for the worker jobs. Workers also replace lost jobs this often.",
        gt=0,
    )
    controller_memory: _Size = _setting(
        "4G",
        "Memory of a controller job, which merges the table; defaults to 1G where memory is set, and to "
        "memory_per_cpu where that is set.",
        pattern=SIZE,
    )
    poll_seconds: Number | None = _setting(
        60, "Shortest time between two queries of the queue; defaults to 60.", ge=1
    )
    lag_seconds: Number | None = _setting(
        300,
        "A submission without a confirmed job id counts as lost if SLURM does not list its name after "
        "this time; defaults to 300.",
        ge=1,
    )
    max_elements: Whole | None = _setting(
        1000,
        "Largest number of jobs of the sweep in the queue. The cluster's own limits apply in any case.",
        ge=1,
    )
    attempts: Whole | None = _setting(
        3,
        "A run counts as failed after this many consecutive jobs without progress; defaults to 3. "
        "Preempted jobs do not count.",
        ge=1,
        le=1000,
    )
    options: Annotated[
        Mapping[str, object] | None,
        Allowed(
            'a table such as { mail-user = "me@example.org", nice = 100, exclusive = true }', free_names=True
        ),
    ] = _setting(
        {"mail-user": "me@example.org", "mail-type": "FAIL"},
        "Other options of sbatch by their long names without dashes; true for an option without a value, "
        "false to remove an option of the profile.",
    )


class SlurmSpec(JobSettings):
    """The cluster. Keys that are left out have the values of the site profile."""

    profile: Annotated[
        Text,
        AfterValidator(_absolute),
        Allowed("the name of a site profile, or the path of one, with a / or .toml in it"),
    ] = Field(
        "generic",
        pattern=LINE,
        max_length=4096,
        description="The site profile, which describes the cluster: generic, cannon, or the path of a file, relative "
        "to the current directory.",
    )
    partition: PartitionName = _setting(
        "gpu", "The partition, or several with commas; defaults to the profile's."
    )
