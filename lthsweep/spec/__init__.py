"""The TOML file as frozen nouns: every error of a file at once, with the key and the nearest right name."""

from __future__ import annotations

from lthsweep.spec.base import Table
from lthsweep.spec.data import DataSpec
from lthsweep.spec.grid import GridSpec
from lthsweep.spec.load import load_spec, spec_of
from lthsweep.spec.models import ModelSpec
from lthsweep.spec.presets import preset_names, preset_summary, preset_text
from lthsweep.spec.pruning import PruneSpec
from lthsweep.spec.reference import reference_markdown
from lthsweep.spec.slurm import SlurmSpec
from lthsweep.spec.spec import Spec
from lthsweep.spec.sweep import SweepSpec
from lthsweep.spec.template import commented_template
from lthsweep.spec.toml_text import dump_spec
from lthsweep.spec.training import TrainSpec
from lthsweep.spec.verdict_local import LocalSpec, VerdictSpec

__all__ = [
    "DataSpec",
    "GridSpec",
    "LocalSpec",
    "ModelSpec",
    "PruneSpec",
    "SlurmSpec",
    "Spec",
    "SweepSpec",
    "Table",
    "TrainSpec",
    "VerdictSpec",
    "commented_template",
    "dump_spec",
    "load_spec",
    "preset_names",
    "preset_summary",
    "preset_text",
    "reference_markdown",
    "spec_of",
]
