"""Networks that users bring: pruned, rewound, resumed and audited as the built-in ones are, each by kind of layer."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch

from lthsweep.errors import PruningError
from lthsweep.lottery.context import TrainingContext
from lthsweep.lottery.dense import train_dense
from lthsweep.models.layers import aliases
from lthsweep.pruning.counts import kept_count
from lthsweep.pruning.masks import dead_channels
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.store.weights import Arrays, pack_sparse, unpack_sparse
from tests.lottery.cases import (
    SEED,
    DenseRun,
    Watch,
    assert_same_arrays,
    assert_same_result,
    context_of,
    finished,
    parent_of,
    prune_step,
    ticket_of,
    undisturbed,
)
from tests.models.kinds import KINDS

EPOCHS = 2
WEIGHTS = {
    "attention": ["body.project", "body.attention.in_proj_weight", "body.attention.out_proj", "out"],
    "attention-kdim": [
        "body.project",
        "body.memory",
        *(f"body.attention.{part}_proj_weight" for part in "qkv"),
        "body.attention.out_proj",
        "out",
    ],
    "direct": ["hidden", "out"],
    "gru-cell": ["body.cell.weight_ih", "body.cell.weight_hh", "out"],
    "lstm": [
        *(f"body.layer.weight_{kind}_l0{way}" for way in ("", "_reverse") for kind in ("ih", "hh")),
        "out",
    ],
    "lstm-projection": [*(f"body.layer.weight_{kind}_l0" for kind in ("ih", "hh", "hr")), "out"],
    "repeated": ["stem", "first", "out"],
    "tied": ["stem", "first", "out"],
    "transposed": ["body.0", "body.2", "out"],
}


class KindContext(TrainingContext):
    """Builds the network of a kind; the name in its table is the kind's."""

    def build(self, seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.placed(KINDS[self.model["name"]](self.input_shape, len(self.packed.class_names)))


@functools.cache
def dense(packed, kind: str) -> DenseRun:
    plain = context_of(packed, epochs=EPOCHS)
    context = KindContext({"name": kind}, plain.data, plain.train, packed, plain.device)
    snapshots: dict[int, Arrays] = {}
    result = train_dense(context, SEED, snapshot_steps=range(EPOCHS * 5), save_snapshot=snapshots.__setitem__)
    return DenseRun(context, finished(result), snapshots)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_of_each_kind_are_prunable_once(packed, kind):
    names = [name.removesuffix(".weight") for name in prunable_weights(dense(packed, kind).context.build(0))]

    assert names == WEIGHTS[kind]


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("kind", KINDS)
def test_tickets_of_each_kind_are_exact_and_audited(packed, kind, scope):
    """Rewound survivors equal the snapshot, pruned weights and momenta stay zero, and counts are those asked for."""
    run = dense(packed, kind)

    ticket = undisturbed(run, prune_step(0.5, 1, scope=scope, rewind="weights+optimizer"))

    assert ticket.audit["ok"], ticket.audit
    sizes = [mask.size for mask in ticket.masks.values()]
    kept = [int(mask.sum()) for mask in ticket.masks.values()]
    if scope == "layer":
        assert kept == [kept_count(size, 0.5) for size in sizes]
    assert sum(kept) == (
        kept_count(sum(sizes), 0.5) if scope == "global" else sum(kept_count(size, 0.5) for size in sizes)
    )
    assert [row.remaining for row in ticket.layers] == kept
    packed_weights = pack_sparse(ticket.weights, ticket.masks)
    assert_same_arrays(
        unpack_sparse(packed_weights, ticket.masks), {k: v + 0 for k, v in ticket.weights.items()}
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_of_each_kind_is_nested(packed, kind):
    run = dense(packed, kind)
    first = undisturbed(run, prune_step(0.5))

    second = finished(ticket_of(run, prune_step(0.75), parent=parent_of(first)))

    assert second.audit["ok"]
    assert all(not np.any(mask & ~first.masks[name]) for name, mask in second.masks.items())


@pytest.mark.parametrize("kind", KINDS)
def test_a_ticket_of_each_kind_resumes_bit_for_bit(packed, kind):
    run, step = dense(packed, kind), prune_step(0.5, 1)
    watch = Watch(stop=7)
    assert ticket_of(run, step, between_steps=watch) is None

    resumed = finished(ticket_of(run, step, resume=watch.checkpoint))

    assert_same_result(resumed, undisturbed(run, step))


@pytest.mark.parametrize("kind", KINDS)
def test_unpruned_tickets_of_each_kind_equal_their_dense_run(packed, kind):
    run = dense(packed, kind)

    ticket = undisturbed(run, prune_step(0.0, 1, rewind="weights+optimizer"))

    assert_same_arrays(ticket.weights, run.result.weights)


@pytest.mark.parametrize("kind", ["tied", "repeated"])
def test_shared_weights_are_stored_and_scored_once(packed, kind):
    """Pruned before and between trainings too: the other name must not bring pruned weights back."""
    run = dense(packed, kind)
    ticket = undisturbed(run, prune_step(0.9, 1))

    model = run.context.build(0)
    assert aliases(model)
    assert not set(aliases(model)) & set(ticket.weights)
    assert ticket.metrics.params_total == sum(weight.numel() for weight in model.parameters())
    everything = finished(ticket_of(run, prune_step(0.9, 1, scope="layer", rewind="lr")))
    assert everything.metrics.pruned_test_loss != everything.metrics.test_loss
    for name, other in aliases(model).items():
        assert other in ticket.weights and name not in ticket.weights


def test_pruned_scores_of_shared_weights_are_those_of_the_mask(packed):
    """With all weights gone but one of each layer, the scores before retraining are those of a dead network."""
    run = dense(packed, "tied")
    ticket = undisturbed(run, prune_step(0.999, 1, scope="layer"))

    classes = len(run.context.packed.class_names)
    assert math.isclose(ticket.metrics.pruned_test_loss, math.log(classes), rel_tol=0.2)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"direct", "tied", "repeated"}))
def test_snip_works_or_names_the_weight(packed, kind):
    ticket = finished(ticket_of(dense(packed, kind), prune_step(0.5, 0, method="snip")))

    assert ticket.audit["ok"]


@pytest.mark.parametrize(
    ("kind", "method", "message"),
    [
        ("lstm", "synflow", "body.layer is a LSTM"),
        ("gru-cell", "synflow", "body.cell is a GRUCell"),
        ("attention", "synflow", "MultiheadAttention"),
        ("group-norm", "synflow", "GroupNorm"),
        ("layer-norm", "synflow", "LayerNorm"),
        ("lstm", "filter", "'body.layer' is a LSTM"),
        ("attention", "filter", "MultiheadAttention"),
        ("transposed", "filter", "ConvTranspose2d"),
        ("conv1d", "filter", "Conv1d"),
        ("tied", "filter", "'second.weight' and 'first.weight' are shared"),
    ],
)
def test_methods_that_do_not_apply_name_the_layer(packed, kind, method, message):
    with pytest.raises(PruningError, match=message):
        ticket_of(dense(packed, kind), prune_step(0.5, 0, method=method))


def test_dead_channels_of_a_transposed_convolution_are_its_outputs():
    """Its weight is (inputs, outputs per group, …)."""
    mask = torch.ones(4, 3, 2, 2, dtype=torch.bool)
    mask[:2, 1] = False  # the second output of the first of two groups

    assert dead_channels({"up.weight": mask}) == {"up.weight": 0}
    assert dead_channels({"up.weight": mask}, {"up.weight": 2}) == {"up.weight": 1}
