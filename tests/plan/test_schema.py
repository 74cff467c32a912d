"""Runs and pruning steps are written and read by one schema."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from pydantic import TypeAdapter, ValidationError

from lthsweep.plan.prune_step import PruneStep
from lthsweep.plan.run import Run
from tests.plan.cases import make_plan

GRIDS = {
    "one-shot": ({"sparsity": [0, 0.5, 0.8], "rewind_epoch": [0, 0.5, "20it"]}, {}),
    "iterative": ({"sparsity": [0.5, 0.8], "rewind_epoch": [1]}, {"schedule": "iterative"}),
    "threshold": ({"threshold": [0, 0.01], "rewind_epoch": [1]}, {"rewind": "weights+optimizer"}),
    "budget": ({"sparsity": [0.5], "time": ["90s"]}, {"schedule": "budget"}),
    "layers": ({"sparsity": [0.5]}, {"scope": "layer", "exclude": ["fc3"], "rates": {"fc2": 0.5}}),
    "control": ({"sparsity": [0.5], "control": ["ticket", "reinit", "random", "lr-rewind"]}, {}),
}


@pytest.fixture(params=GRIDS)
def runs(request):
    grid, prune = GRIDS[request.param]
    return make_plan(grid, prune=prune).runs.values()


def test_runs_survive_json(runs):
    """Tasks carry them between processes."""
    schema = TypeAdapter(Run)

    for run in runs:
        again = schema.validate_json(schema.dump_json(run))
        assert asdict(again) == asdict(run)


def test_manifests_describe_the_whole_step(runs):
    """Records outside the plan are described by their manifests alone."""
    for run in runs:
        if run.prune is not None:
            again = PruneStep.of_manifest(run.manifest["prune"])
            assert again.manifest() == run.prune.manifest()
            assert (again.role, again.point) == (run.prune.role, run.prune.point)


def test_unknown_controls_are_refused():
    """A manifest of another version can hold anything."""
    manifest = make_plan({"sparsity": [0.5]}).tickets[0].prune.manifest()

    with pytest.raises(ValidationError, match="control"):
        PruneStep.of_manifest(manifest | {"control": "reinitialize"})
