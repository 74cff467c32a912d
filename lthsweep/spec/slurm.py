"""`[slurm]`: what a sweep asks of a cluster. None of it changes a run.

Nothing has a value here that the file does not give: what is left out is the site profile's to say
(`lthsweep.launch.slurm.sites.profile`). A profile has the same keys, read by the same fields.

Values go into `#SBATCH` lines. They are made of letters, digits and a few signs, without any that a shell or sbatch
takes for more than itself, so that a file from somebody else cannot start anything. `setup` is the exception: it is
shell by intent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from lthsweep.spec.base import Allowed, Number, Table, Text, Whole
from lthsweep.spec.slurm_forms import FEATURES, LINE, NODES, PLAIN, PLAIN_TEXT, SIZE, WORD, minutes_of

__all__ = ["JobSettings", "Line", "PartitionName", "SlurmSpec"]

Line = Annotated[Text, Field(pattern=LINE, max_length=4096)]
"""One line of text."""

PartitionName = Annotated[
    Text | None, Field(pattern=PLAIN), Allowed("the name of a partition, or several with commas")
]


def _size(value: Any) -> Any:
    """A number alone as the text that it stands for: megabytes."""
    return str(value) if type(value) is int else value


def _is_time(value: Any) -> Any:
    if minutes_of(value) is None:
        raise ValueError("no time")
    return value


def _absolute(profile: str) -> str:
    """A path as an absolute one: the resolved file is read again by jobs, in other directories."""
    if "/" not in profile and not profile.endswith(".toml"):
        return profile
    path = Path(profile)
    with contextlib.suppress(RuntimeError):  # ~nobody; there is no such file then
        path = path.expanduser()
    return str(path.absolute())


class JobSettings(Table):
    """What may be said of a cluster, of one partition of it, and by a sweep."""

    account: Annotated[Text | None, Allowed(f"an account: text {PLAIN_TEXT}")] = Field(
        None,
        pattern=PLAIN,
        examples=["my_lab"],
        description="The account that is charged; SLURM's default for you if left out.",
    )
    qos: Annotated[Text | None, Allowed(f"a quality of service: text {PLAIN_TEXT}")] = Field(
        None, pattern=PLAIN, examples=["normal"], description="The quality of service."
    )
    constraint: Annotated[Text | None, Allowed('features of nodes, such as "a100" or "a100|h100"')] = Field(
        None, pattern=FEATURES, examples=["a100|h100"], description="Features that nodes must have."
    )
    reservation: Annotated[Text | None, Allowed(f"a reservation: text {PLAIN_TEXT}")] = Field(
        None, pattern=PLAIN, examples=["my_course"], description="A reservation to run in."
    )
    exclude: Annotated[
        tuple[Annotated[Text, Field(pattern=NODES)], ...] | None,
        Allowed(
            'a list of nodes such as ["node07", "node[10-12]"]', 'a node or several, such as "node[10-12]"'
        ),
    ] = Field(None, examples=[["node07"]], description="Nodes that are not to be used.")
    time: Annotated[
        Text | Annotated[Whole, Field(ge=1)] | None,
        AfterValidator(lambda value: value if value is None else _is_time(value)),
        Allowed('a time in SLURM\'s form: minutes, "8:00:00" or "1-12:00:00"'),
    ] = Field(
        None,
        examples=["8:00:00"],
        description="The longest walltime that a job may ask for; the partition's limit, read from SLURM, if "
        "neither this nor the profile says. Jobs ask for what they need and not for more.",
    )
    cpus: Annotated[Whole | None, Allowed("a whole number >= 1")] = Field(
        None,
        ge=1,
        le=100_000,
        examples=[8],
        description="Cores of a job. If neither this nor the profile says, as many as its workers need.",
    )
    cpus_per_gpu: Annotated[Whole | None, Allowed("a whole number >= 1")] = Field(
        None,
        ge=1,
        le=10_000,
        examples=[8],
        description="Cores of a job with GPUs, for each; instead of cpus.",
    )
    gpus: Annotated[Whole | None, Allowed("a whole number >= 0")] = Field(
        None,
        ge=0,
        le=64,
        examples=[1],
        description="GPUs of a job, all on one node. The profile knows on which partitions it takes one.",
    )
    gpu_type: Annotated[Text | None, Allowed('a type of GPU as the cluster calls it, such as "a100"')] = (
        Field(
            None,
            pattern=WORD,
            examples=["a100"],
            description='The type of GPU, where the cluster\'s GPUs have types; see `sinfo -o "%P %G"`.',
        )
    )
    gpu_form: Annotated[Literal["gres", "gpus-per-node"] | None, Allowed('"gres" or "gpus-per-node"')] = (
        Field(
            None,
            examples=["gres"],
            description="How GPUs are asked for: `--gres=gpu:1` or `--gpus-per-node=1`; gres if nobody says.",
        )
    )
    memory: Annotated[
        Text | None,
        BeforeValidator(_size),
        Allowed('a size such as "16G" (K, M, G, T; megabytes without; "0" for all of a node)'),
    ] = Field(
        None,
        pattern=f"{SIZE}|^0$",
        examples=["16G"],
        description="Memory of a job; the cluster's default if nobody says.",
    )
    memory_per_cpu: Annotated[
        Text | None, BeforeValidator(_size), Allowed('a size such as "4G" (K, M, G, T; megabytes without)')
    ] = Field(
        None,
        pattern=SIZE,
        examples=["4G"],
        description="Memory of a job for each of its cores; instead of memory.",
    )
    workers: Annotated[Whole | None, Allowed("a whole number >= 1")] = Field(
        None,
        ge=1,
        le=10_000,
        examples=[8],
        description="Runs that a job trains side by side. If nobody says: one per core (per local.threads cores), "
        "or workers_per_gpu per GPU.",
    )
    workers_per_gpu: Annotated[Whole | None, Allowed("a whole number >= 1")] = Field(
        None,
        ge=1,
        le=64,
        examples=[2],
        description="Runs that share a GPU; 1 if nobody says. Small networks leave most of a GPU idle.",
    )
    target_minutes: Annotated[Number | None, Allowed("a number > 0")] = Field(
        None,
        gt=0,
        examples=[30],
        description="How long a job should take: so many runs are packed into it. 30 if nobody says.",
    )
    floor_minutes: Annotated[Number | None, Allowed("a number >= 0")] = Field(
        None,
        ge=0,
        examples=[10],
        description="No job is shorter than this where there is anything to put into it; 10 if nobody says.",
    )
    grace_seconds: Annotated[Whole | None, Allowed("a whole number >= 0 and <= 3600")] = Field(
        None,
        ge=0,
        le=3600,
        examples=[120],
        description="This long before its time is over a job writes checkpoints and queues itself again; "
        "120 if nobody says.",
    )
    setup: Annotated[
        tuple[Line, ...] | None,
        Allowed("a list of shell lines", "one line of shell without control characters"),
    ] = Field(
        None,
        examples=[["module load python"]],
        description="Lines of shell that jobs run before anything else: modules, environments, variables.",
    )
    python: Annotated[Text | None, Allowed(f"the path of an interpreter: text {PLAIN_TEXT}")] = Field(
        None,
        pattern=PLAIN,
        examples=["/home/me/envs/lthsweep/bin/python"],
        description="The Python of jobs; the one that submits them if left out.",
    )
    tick_partition: PartitionName = Field(
        None,
        examples=["shared"],
        description="Where the follow-up jobs run (one core, no GPU, minutes); the sweep's partition if nobody says.",
    )
    tick_minutes: Annotated[Number | None, Allowed("a number > 0")] = Field(
        None,
        gt=0,
        examples=[10],
        description="Minutes between follow-up jobs where not everything could be submitted; 10 if nobody says.",
    )
    tick_memory: Annotated[
        Text | None, BeforeValidator(_size), Allowed('a size such as "4G" (K, M, G, T; megabytes without)')
    ] = Field(
        None,
        pattern=SIZE,
        examples=["4G"],
        description="Memory of a follow-up job, which merges the table; the cluster's default if nobody says.",
    )
    poll_seconds: Annotated[Number | None, Allowed("a number >= 1")] = Field(
        None,
        ge=1,
        examples=[60],
        description="SLURM is asked for the queue at most once in this time; 60 if nobody says.",
    )
    lag_seconds: Annotated[Number | None, Allowed("a number >= 1")] = Field(
        None,
        ge=1,
        examples=[300],
        description="A submission whose fate is unknown counts as lost when SLURM does not know its name this long "
        "after; 300 if nobody says.",
    )
    max_elements: Annotated[Whole | None, Allowed("a whole number >= 1")] = Field(
        None,
        ge=1,
        examples=[1000],
        description="Jobs that the sweep has in the queue at most; the cluster's own limits hold anyway.",
    )
    attempts: Annotated[Whole | None, Allowed("a whole number >= 1")] = Field(
        None,
        ge=1,
        le=1000,
        examples=[3],
        description="Jobs in a row that may end without any progress of a run before it counts as failed; 3 if "
        "nobody says. Preempted jobs do not count.",
    )
    options: Annotated[
        Mapping[str, Any] | None,
        Allowed(
            'a table such as { mail-user = "me@example.org", nice = 100, exclusive = true }', free_names=True
        ),
    ] = Field(
        None,
        examples=[{"mail-user": "me@example.org", "mail-type": "FAIL"}],
        description="Other options of sbatch by their long names without dashes; true for one without a value, false "
        "to take one of the profile's away.",
    )


class SlurmSpec(JobSettings):
    """The cluster. What is left out is as the site profile says."""

    profile: Annotated[
        Text,
        AfterValidator(_absolute),
        Allowed("the name of a site profile, or the path of one, with a / or .toml in it"),
    ] = Field(
        "generic",
        pattern=LINE,
        max_length=4096,
        description="The site profile: what the cluster is like. generic, cannon, or the path of your own, which "
        "counts from the directory where the command is typed.",
    )
    partition: PartitionName = Field(
        None,
        examples=["gpu"],
        description="The partition to submit to, or several with commas; the profile's if left out.",
    )
