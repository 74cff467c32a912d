"""The TOML file as frozen tables: every error of a file at once, with the key and the nearest right name."""

from __future__ import annotations

from lthsweep.spec.documentation import commented_template, reference_markdown
from lthsweep.spec.load import load_spec
from lthsweep.spec.resolved_file import resolved_file
from lthsweep.spec.slurm_table import SlurmSpec
from lthsweep.spec.spec import Spec, dump_spec, spec_of

__all__ = [
    "SlurmSpec",
    "Spec",
    "commented_template",
    "dump_spec",
    "load_spec",
    "reference_markdown",
    "resolved_file",
    "spec_of",
]
