"""Site profiles: TOML files that describe a cluster, so that sweep files do not have to.

A profile contains keys of `[slurm]`, which apply to the whole cluster; one table per partition, with facts about the
partition and keys of `[slurm]` that apply there; and a table `[about]` with the origin of the information. Profiles
come from other people, so they are validated like a sweep's file.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from lthsweep.errors import SpecError, nearest
from lthsweep.spec.fields import Allowed, FileTable, Flag, Number, Whole
from lthsweep.spec.load import parse_toml
from lthsweep.spec.problems import Origin, Problem, error_of
from lthsweep.spec.pydantic_errors import problems_of
from lthsweep.spec.schema import Path as KeyPath
from lthsweep.spec.slurm_rules import slurm_problems
from lthsweep.spec.slurm_table import JobSettings, Line, PartitionName
from lthsweep.spec.text_forms import is_plain

__all__ = [
    "About",
    "PartitionFacts",
    "Profile",
    "SiteSettings",
    "profile_names",
    "profile_text",
    "read_profile",
]

_ENDING = ".toml"
_Kind = TypeVar("_Kind", bound=FileTable)


class About(FileTable):
    """Origin and reliability of a profile."""

    description: Annotated[Line, Allowed("a line of text")] = Field("", description="The cluster.")
    date: Annotated[datetime.date | None, Allowed("a date such as 2026-11-21")] = Field(
        None, description="When its facts were collected."
    )
    advice: Annotated[tuple[Line, ...], Allowed("a list of lines of text", "a line of text")] = Field(
        (), description="Lines for users who submit: where results belong, which files are purged."
    )
    sources: Annotated[
        Mapping[str, Line], Allowed("a table of lines of text", "a line of text", free_names=True)
    ] = Field({}, description="Source → the facts taken from it.")
    unsure: Annotated[tuple[Line, ...], Allowed("a list of lines of text", "a line of text")] = Field(
        (), description="Facts that are unverified, or on which sources contradict each other."
    )

    def title(self, name: str) -> str:
        """Return the profile's name, description and date in one line."""
        known = ", ".join(
            part for part in (self.description, f"as of {self.date}" if self.date else "") if part
        )
        return f"{name} ({known})" if known else name


class SiteSettings(JobSettings):
    """Settings for the whole cluster."""

    partition: PartitionName = Field(None, description="Default partition; a sweep can name another.")


class PartitionFacts(JobSettings):
    """A partition: facts, used for defaults and warnings, and settings of jobs that run there."""

    hours: Annotated[Number | None, Allowed("a number > 0")] = Field(
        None, gt=0, description="The longest walltime. For warnings only: SLURM's own limit decides."
    )
    node_cpus: Annotated[Whole | None, Allowed("a whole number >= 1")] = Field(
        None, ge=1, description="Cores of its largest nodes."
    )
    node_gpus: Annotated[Whole | None, Allowed("a whole number >= 0")] = Field(
        None, ge=0, description="GPUs of its largest nodes."
    )
    gpu_types: Annotated[tuple[Line, ...], Allowed("a list of lines of text", "a line of text")] = Field(
        (), description="The GPU types, by their common names."
    )
    preemptible: Flag = Field(False, description="SLURM can end jobs and queue them again to free the node.")
    max_jobs: Annotated[Whole | None, Allowed("a whole number >= 1")] = Field(
        None,
        ge=1,
        description="Jobs that a user may have there; the default of max_elements.",
    )
    notes: Annotated[tuple[Line, ...], Allowed("a list of lines of text", "a line of text")] = Field(
        (), description="Other useful facts."
    )


@dataclass(frozen=True)
class Profile:
    """A validated profile.

    Attributes:
        name: as in the sweep's file: a name, or the absolute path of a file.
        about: origin of the profile.
        settings: for the whole cluster.
        partitions: name → facts and settings.
    """

    name: str
    about: About
    settings: SiteSettings
    partitions: Mapping[str, PartitionFacts]


def profile_names() -> list[str]:
    """Return the names of the profiles in the package, sorted."""
    names = (entry.name for entry in _folder().iterdir())
    return sorted(name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING))


def profile_text(name: str) -> str:
    """Return the text of a profile's file, including comments.

    Args:
        name: of a profile in the package, or the path of a file, with a / or .toml in it.

    Raises:
        SpecError: if the profile does not exist.
    """
    return _find(name)[1]


def read_profile(name: str) -> Profile:
    """Read and validate a profile.

    Args:
        name: as for `profile_text`.

    Raises:
        SpecError: if the profile does not exist, or with all problems in it.
    """
    shown, text = _find(name)
    tables = parse_toml(text, shown)
    about = tables.pop("about", {})
    partitions = tables.pop("partitions", {})
    problems: list[Problem] = []
    read_about = _read(About, about, ("about",), problems)
    settings = _read(SiteSettings, tables, (), problems)
    read: dict[str, PartitionFacts] = {}
    if isinstance(partitions, dict):
        for partition, raw in partitions.items():
            if not is_plain(partition):
                problems.append(Problem(("partitions", partition), "is not a valid partition name"))
            read[partition] = _read(PartitionFacts, raw, ("partitions", partition), problems)
    else:
        problems.append(Problem(("partitions",), "must be a table of tables: [partitions.NAME]", partitions))
    for start, table in [((), settings), *((("partitions", name), table) for name, table in read.items())]:
        problems += slurm_problems(table, start)
    if problems:
        raise error_of(problems, Origin(shown, text))
    return Profile(name, read_about, settings, read)


def _read(kind: type[_Kind], raw: Any, start: KeyPath, problems: list[Problem]) -> _Kind:
    """Return a table without its invalid keys, so that the remaining keys are checked as well."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        found = problems_of(error, "profile", kind)
    problems += [replace(problem, path=start + problem.path[1:]) for problem in found]
    wrong = {problem.path[1] for problem in found if len(problem.path) > 1}
    return kind.model_validate({key: raw[key] for key in raw if key not in wrong} if wrong else {})


def _folder() -> Traversable:
    return resources.files("lthsweep.launch.slurm") / "profiles"


def _find(name: str) -> tuple[str, str]:
    """Return the profile's name for messages, and its text."""
    if "/" in name or name.endswith(_ENDING):
        path = Path(name)
        try:
            return str(path), path.read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            raise SpecError(f"slurm.profile: {path} is not UTF-8 text (byte {error.start})") from None
        except OSError as error:
            raise SpecError(
                f"slurm.profile = {name!r}: cannot be read: {error.strerror}; {_there()}"
            ) from None
    names = profile_names()
    if name not in names:
        hint = nearest(name, names)
        raise SpecError(
            f"slurm.profile = {name!r}: no such profile;{f' did you mean {hint!r}?' if hint else ''} {_there()}"
        )
    file = _folder() / (name + _ENDING)
    return f"profile {name}", file.read_text("utf-8")


def _there() -> str:
    return f"available: {', '.join(profile_names())}; or give the path of your file, such as ./my-site.toml"
