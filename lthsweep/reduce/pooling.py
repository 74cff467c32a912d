"""Which records are pooled: those of one data set and of one network. Others are set aside.

The key of a run holds the content of its source files, and the name and arguments of its network. Two machines can
still disagree on what these mean: decoders of images differ in single values, and versions of a library change a
network. A record holds the values of its machine (`RecordOrigin`), and only runs with equal values are compared.

- **Data.** Runs of a plan whose packs have the same description are grouped by the hash of the decoded values.
- **Network.** Runs with networks of one library are grouped by version. Two versions are one group as far as the hash
  of a network is the same in both.

The group with the most dense runs is used; with equal numbers, the one with the most runs; then the one whose
fingerprint or version is the smaller text. Runs of other groups are set aside: no number of a table includes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal, NamedTuple

from lthsweep.data.entry import DataOptions
from lthsweep.wording import plural

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lthsweep.plan.run import Plan
    from lthsweep.reduce.run_result import RunResult

__all__ = ["Pooling", "RecordOrigin", "SetAside", "manifest_source", "origin_of", "origins_in", "pool"]


_AFTER_PACKING = frozenset(field.name for field in fields(DataOptions))
"""Keys of `[sweep.data]` that change no packed value."""


class RecordOrigin(NamedTuple):
    """The data and the network of a record, as computed on its machine; "" where it has none.

    Attributes:
        data: fingerprint of the decoded values.
        library, version: of a network that a library builds.
        network: hash of the names, shapes and outputs of that network.
        host: name of the machine.
    """

    data: str = ""
    library: str = ""
    version: str = ""
    network: str = ""
    host: str = ""


@dataclass(frozen=True, order=True)
class SetAside:
    """Runs that are set aside for one reason.

    Attributes:
        reason: the property that differs.
        theirs: fingerprint of their data, or library and version of their network.
        used: the same of the runs in use.
        runs: number of runs set aside.
        hosts: machines that trained them.
        used_hosts: machines that trained the runs in use.
    """

    reason: Literal["data", "network"]
    theirs: str
    used: str
    runs: int
    hosts: tuple[str, ...]
    used_hosts: tuple[str, ...]

    @property
    def text(self) -> str:
        """The reason in one clause."""
        theirs, used = f"{self.theirs}{_on(self.hosts)}", f"{self.used}{_on(self.used_hosts)}"
        if self.reason == "network":
            return f"{self.runs} with the network of {theirs}, which differs from that of {used}"
        return f"{self.runs} with data decoded to other values ({theirs}) than in the runs in use ({used})"


@dataclass(frozen=True)
class Pooling:
    """The division of the recorded runs of a plan.

    Attributes:
        keys: of the runs that are set aside.
        groups: the reasons, each with its number of runs.
    """

    keys: frozenset[str] = frozenset()
    groups: tuple[SetAside, ...] = field(default=())

    @property
    def summary(self) -> str:
        """The number of runs that are set aside, and the reasons."""
        reasons = "; ".join(group.text for group in self.groups)
        return f"{plural(len(self.keys), 'run')} set aside, in no verdict, mean or figure: {reasons}"

    def remedy(self, directory: str) -> str:
        """Return the commands that train these runs again; `directory` is an argument of a shell command."""
        hosts = sorted({host for group in self.groups for host in group.used_hosts})
        like = f" on machines like {' or '.join(hosts[:3])}" if hosts else " on one kind of machine"
        return (
            f"`lthsweep doctor {directory} --move-set-aside` moves their records away, then "
            f"`lthsweep run {directory}`{like} trains them again"
        )

    def notes(self, directory: str) -> tuple[str, ...]:
        """Return a line with summary and remedy if runs are set aside."""
        return (f"{self.summary}; {self.remedy(directory)}",) if self.groups else ()


def pool(plan: Plan, origins: Mapping[str, RecordOrigin]) -> Pooling:
    """Return which runs of a plan are set aside. A pure function of its arguments.

    Args:
        plan: the grid; runs outside it are ignored.
        origins: key → origin, of the runs that have a record.
    """
    recorded = [key for key in plan.runs if key in origins]
    if len({origins[key][:4] for key in recorded}) < 2:  # nearly always
        return Pooling()
    packs = _descriptions(plan, recorded, _pack)
    found: list[SetAside] = []
    aside: set[str] = set()
    for pack in dict.fromkeys(packs.values()):
        of_pack = [key for key in recorded if packs[key] == pack]
        groups = _grouped(of_pack, lambda key: origins[key].data)
        chosen = _largest(plan, groups)
        for name in sorted(groups.keys() - {chosen}):
            aside.update(groups[name])
            found.append(_set_aside("data", name[:12], chosen[:12], origins, groups[name], groups[chosen]))
    networks = _descriptions(plan, recorded, _network)
    in_libraries = [key for key in recorded if key not in aside and origins[key].library]
    for library, keys in sorted(_grouped(in_libraries, lambda key: origins[key].library).items()):
        groups = _equal_networks(keys, origins, networks)
        chosen = _largest(plan, groups)
        used = set(groups[chosen])
        others = _grouped([key for key in keys if key not in used], lambda key: origins[key].version)
        for version, those in sorted(others.items()):
            aside.update(those)
            names = (f"{library} {version}", f"{library} {chosen}")
            found.append(_set_aside("network", *names, origins, those, groups[chosen]))
    return Pooling(frozenset(aside), tuple(sorted(found)))


def origin_of(result: RunResult) -> RecordOrigin:
    """Return the origin of a record."""
    names = ("data_fingerprint", "library", "library_version", "network_hash", "host")
    return RecordOrigin(*(result.origin(name) for name in names))


def origins_in(runs: NDArray[np.void]) -> dict[str, RecordOrigin]:
    """Return key → origin, of the rows of /runs that have a record."""
    names = ("key", "record", "data_fingerprint", "library", "library_version", "network_hash", "host")
    columns = [[value.decode() for value in runs[name].tolist()] for name in names]
    return {key: RecordOrigin(*rest) for key, record, *rest in zip(*columns, strict=True) if record}


def manifest_source(manifest: Mapping[str, object]) -> str:
    """Return the digest of the source files in the manifest of a dense run; "" if it has none."""
    data = manifest.get("data")
    source = data.get("source") if isinstance(data, Mapping) else None
    return source if isinstance(source, str) else ""


def _descriptions(
    plan: Plan, keys: Iterable[str], describe: Callable[[Mapping[str, object]], str]
) -> dict[str, str]:
    """Return run → a text of the manifest of its dense run."""
    of_dense: dict[str, str] = {}
    found = {}
    for key in keys:
        trunk = plan[key].trunk
        if trunk not in of_dense:
            of_dense[trunk] = describe(plan[trunk].manifest)
        found[key] = of_dense[trunk]
    return found


def _pack(manifest: Mapping[str, object]) -> str:
    """Return the source and the options that change the decoded values: equal texts must have one fingerprint."""
    data = _table(manifest, "data")
    return json.dumps({name: data[name] for name in data if name not in _AFTER_PACKING}, sort_keys=True)


def _network(manifest: Mapping[str, object]) -> str:
    """Return the network without its initial weights, and the data, which gives it its shape."""
    model = {name: value for name, value in _table(manifest, "model").items() if name != "init"}
    return json.dumps([model, _pack(manifest)], sort_keys=True)


def _table(manifest: Mapping[str, object], name: str) -> Mapping[str, object]:
    table = manifest[name]
    assert isinstance(table, Mapping)
    return table


def _grouped(keys: Iterable[str], value: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(value(key), []).append(key)
    return groups


def _equal_networks(
    keys: Collection[str], origins: Mapping[str, RecordOrigin], networks: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return version → its runs, and the runs of other versions whose network has the same hash in this one."""
    groups = {}
    for version in {origins[key].version for key in keys}:
        equal = {(networks[key], origins[key].network) for key in keys if origins[key].version == version}
        groups[version] = [
            key
            for key in keys
            if origins[key].version == version
            or (origins[key].network and (networks[key], origins[key].network) in equal)
        ]
    return groups


def _largest(plan: Plan, groups: Mapping[str, Collection[str]]) -> str:
    def rank(name: str) -> tuple[int, int, str]:
        dense = sum(plan[key].kind == "dense" for key in groups[name])
        return -dense, -len(groups[name]), name

    return min(groups, key=rank)


def _set_aside(
    reason: Literal["data", "network"],
    theirs: str,
    used: str,
    origins: Mapping[str, RecordOrigin],
    aside: Collection[str],
    in_use: Collection[str],
) -> SetAside:
    hosts, used_hosts = (
        tuple(sorted({origins[key].host for key in keys} - {""})) for keys in (aside, in_use)
    )
    return SetAside(reason, theirs or "unknown", used or "unknown", len(aside), hosts, used_hosts)


def _on(hosts: tuple[str, ...]) -> str:
    more = f" and {len(hosts) - 3} more" if len(hosts) > 3 else ""
    return f" on {', '.join(hosts[:3])}{more}" if hosts else ""
