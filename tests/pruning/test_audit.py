"""The audit finds every broken promise and names dead layers."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from lthsweep.errors import PruningError
from lthsweep.pruning.audit import audit, optimizer_momenta
from lthsweep.pruning.masks import LayerRow, dead_channels, layer_rows

MASKS = {
    "a.weight": torch.tensor([[True, False], [False, False]]),
    "b.weight": torch.zeros(3, 2, dtype=torch.bool),
    "c.weight": torch.tensor([[True, True]]),
}
SNAPSHOT = {name: torch.arange(1.0, mask.numel() + 1).reshape(mask.shape) for name, mask in MASKS.items()}


def ticket():
    """A correct ticket: 3 of 12 weights remain, layer b is dead."""
    start = {name: weight * MASKS[name] for name, weight in SNAPSHOT.items()}
    return {
        "snapshot": SNAPSHOT,
        "start": start,
        "final": {name: weight * 2 for name, weight in start.items()},
        "momenta": {name: (weight * 3,) for name, weight in start.items()},
        "sparsity": 0.75,
    }


def test_correct_ticket_passes_and_names_dead_layers():
    """A dead layer is a finding that the table must show, not a broken promise."""
    found = audit(MASKS, **ticket())

    assert found.ok
    assert (found.asked, found.got, found.total, found.asked_kept, found.kept) == (0.75, 0.75, 12, 3, 3)
    assert found.dead_layers == ("b.weight",)
    assert found.dead_channels == {"a.weight": 1, "b.weight": 3, "c.weight": 0}
    assert found.finite


def test_dictionary_of_an_audit_is_plain_json():
    """It goes into the record as JSON."""
    found = audit(MASKS, **ticket())

    assert json.loads(json.dumps(found.to_dict())) == {
        "asked": 0.75,
        "threshold": None,
        "got": 0.75,
        "total": 12,
        "asked_kept": 3,
        "kept": 3,
        "exact": True,
        "pruned_weights_zero": True,
        "pruned_momenta_zero": True,
        "survivors_equal_snapshot": True,
        "finite": True,
        "dead_layers": ["b.weight"],
        "dead_channels": {"a.weight": 1, "b.weight": 3, "c.weight": 0},
        "ok": True,
    }


def with_value(weights, name, index, value):
    changed = {key: weight.clone() for key, weight in weights.items()}
    changed[name].view(-1)[index] = value
    return changed


@pytest.mark.parametrize("value", [1e-30, float("nan"), -1.0])
@pytest.mark.parametrize("moment", ["start", "final"])
def test_pruned_weight_that_is_not_zero_is_found(moment, value):
    """The mask was lost in retraining, or never applied."""
    parts = ticket()
    parts[moment] = with_value(parts[moment], "a.weight", 1, value)

    found = audit(MASKS, **parts)

    assert (found.ok, found.pruned_weights_zero, found.exact) == (False, False, True)


def test_negative_zero_is_zero():
    """Multiplying a negative weight by its mask leaves one."""
    parts = ticket()
    parts["final"] = with_value(parts["final"], "a.weight", 1, -0.0)

    assert audit(MASKS, **parts).ok


def test_momentum_of_a_pruned_weight_is_found():
    """It would revive the weight at the next step."""
    parts = ticket()
    parts["momenta"]["a.weight"] += (with_value({"m": torch.zeros(2, 2)}, "m", 3, 1e-9)["m"],)

    found = audit(MASKS, **parts)

    assert (found.ok, found.pruned_momenta_zero, found.pruned_weights_zero) == (False, False, True)


def test_survivor_that_differs_from_the_snapshot_is_found():
    """One bit is enough: the rewind state was aliased, or of another step."""
    parts = ticket()
    off = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0)).item()
    parts["start"] = with_value(parts["start"], "a.weight", 0, off)

    found = audit(MASKS, **parts)

    assert (found.ok, found.survivors_equal_snapshot) == (False, False)


def test_wrong_count_is_found():
    """One weight too many or too few."""
    found = audit(MASKS, **{**ticket(), "sparsity": 0.8})

    assert (found.ok, found.exact, found.asked_kept, found.kept) == (False, False, 2, 3)


def test_layer_scope_checks_the_count_of_each_layer():
    """The right total in the wrong layers is not exact."""
    found = audit(MASKS, **ticket(), scope="layer")

    assert (found.exact, found.asked_kept, found.kept) == (False, 1 + 2 + 1, 3)


def test_layer_scope_is_exact_where_every_layer_is():
    """0.5 of four, six and two weights."""
    masks = {name: torch.arange(mask.numel()).reshape(mask.shape) % 2 == 0 for name, mask in MASKS.items()}
    parts = ticket() | {"sparsity": 0.5}
    parts["start"] = parts["final"] = {name: weight * masks[name] for name, weight in SNAPSHOT.items()}
    parts["momenta"] = {}

    found = audit(masks, **parts, scope="layer")

    assert (found.ok, found.asked_kept, found.kept, found.dead_layers) == (True, 6, 6, ())


@pytest.mark.parametrize(("threshold", "exact", "asked"), [(1.0, True, 3), (0.5, False, 12), (3.0, False, 0)])
def test_threshold_is_checked_against_the_weights_it_cut(threshold, exact, asked):
    """Exactly the magnitudes above it remain."""
    parts = ticket()
    parent = {name: torch.where(mask, -2.0, 1.0) for name, mask in MASKS.items()}
    del parts["sparsity"]

    found = audit(MASKS, **parts, threshold=threshold, parent=parent)

    assert (found.exact, found.asked_kept, found.asked, found.threshold) == (exact, asked, None, threshold)


def test_diverged_ticket_is_marked_and_not_blamed():
    """NaN in a survivor is a result of training; the promises about pruning still hold."""
    parts = ticket()
    parts["final"] = with_value(parts["final"], "a.weight", 0, float("nan"))

    found = audit(MASKS, **parts)

    assert (found.finite, found.ok) == (False, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": 0.1}, "either a sparsity or a threshold"),
        ({"sparsity": None}, "either a sparsity or a threshold"),
        ({"sparsity": None, "threshold": 0.1}, "parent"),
        ({"final": {}}, "prunable weights|differ in name"),
    ],
)
def test_incomplete_evidence_is_refused(change, message):
    """An audit of half a ticket proves nothing."""
    with pytest.raises(PruningError, match=message):
        audit(MASKS, **{**ticket(), **change})


def test_momenta_are_found_in_every_optimizers_state():
    """SGD has one, Adam two; step counters are none; before the first step there are none."""
    layer = nn.Linear(2, 2)
    params = {"weight": layer.weight}
    counts = {}
    for kind, optimizer in {
        "plain": torch.optim.SGD(layer.parameters(), lr=0.1),
        "sgd": torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9),
        "adam": torch.optim.Adam(layer.parameters(), lr=0.1),
    }.items():
        assert optimizer_momenta(optimizer, params) == {"weight": ()}
        layer(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        counts[kind] = len(optimizer_momenta(optimizer, params)["weight"])

    assert counts == {"plain": 0, "sgd": 1, "adam": 2}


def test_layer_rows_tell_what_each_layer_keeps():
    """In the order of the weights, for any order of the masks."""
    rows = layer_rows(dict(reversed(MASKS.items())), SNAPSHOT)

    assert rows == [
        LayerRow("a.weight", 4, 1, 0.75, False),
        LayerRow("b.weight", 6, 0, 1.0, True),
        LayerRow("c.weight", 2, 2, 0.0, False),
    ]


def test_dead_channels_are_outputs_without_any_weight():
    """Of a depthwise convolution, a channel is its one kernel."""
    depthwise = torch.zeros(3, 1, 2, 2, dtype=torch.bool)
    depthwise[1, 0, 1, 1] = True

    assert dead_channels({"dw": depthwise}) == {"dw": 2}
