"""Masks by example: ties, refusals, thresholds, memory formats, seeds."""

from __future__ import annotations

import pytest
import torch

from lthsweep.errors import PruningError, UnknownNameError
from lthsweep.pruning.make import make_masks
from lthsweep.pruning.masks import dense_masks
from lthsweep.pruning.scoring import ScoringContext
from lthsweep.pruning.selection import keep_globally

ONES = {"a": torch.ones(2, 3), "b": torch.ones(4)}


def make(weights, masks=None, *, method="magnitude", scope="global", seed=0, **amount):
    return make_masks(method, ScoringContext(weights, masks, seed=seed), scope=scope, **amount)


def keep(weights, count, masks=None):
    """Masks of the `count` largest magnitudes of all layers."""
    scores = {name: weight.abs() for name, weight in weights.items()}
    return keep_globally(scores, dense_masks(weights) if masks is None else masks, count)


def total(masks):
    return sum(int(mask.sum()) for mask in masks.values())


def test_ties_keep_earlier_layer_and_lower_index():
    """Equal magnitudes, of either sign, are cut by place, so that the mask is the same everywhere."""
    weights = {"a": torch.tensor([[1.0, -2.0], [2.0, 1.0]]), "b": torch.tensor([-2.0, 2.0, 1.0])}

    masks = keep(weights, 3)

    assert masks["a"].tolist() == [[False, True], [True, False]]
    assert masks["b"].tolist() == [True, False, False]


def test_layer_order_is_not_alphabetical():
    """Sorting by name would put features.10 before features.2."""
    masks = keep({"z": torch.ones(3), "a": torch.ones(3)}, 4)

    assert (masks["z"].tolist(), masks["a"].tolist()) == ([True] * 3, [True, False, False])


def test_memory_format_does_not_change_the_mask():
    """Index order is that of the shape: a channels_last model prunes the same weights."""
    weight = torch.arange(24).remainder(4).float().reshape(2, 3, 2, 2)
    plain = make({"w": weight}, sparsity=0.4)["w"]

    last = make({"w": weight.to(memory_format=torch.channels_last)}, sparsity=0.4)["w"]

    assert torch.equal(plain, last)
    assert total({"w": last}) == 14


def test_every_floating_type_is_ranked_exactly():
    """Half precision ties more often; the count stays exact."""
    weight = torch.linspace(-1, 1, 101)
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        assert total(make({"w": weight.to(dtype)}, sparsity=0.9)) == 10


def test_pruned_weights_stay_pruned_even_if_largest():
    """Momentum can have moved them; the mask decides."""
    weights = {"w": torch.tensor([9.0, 1.0, 2.0, 3.0])}

    masks = keep(weights, 2, {"w": torch.tensor([False, True, True, True])})

    assert masks["w"].tolist() == [False, False, True, True]


def test_infinite_weights_rank_highest():
    """An overflow has a magnitude; only NaN has none."""
    assert keep({"w": torch.tensor([1.0, -torch.inf, 2.0])}, 1)["w"].tolist() == [
        False,
        True,
        False,
    ]


def test_all_layers_but_one_can_die_globally():
    """A fact that the audit names, not an error here."""
    masks = make({"small": torch.full((5,), 0.1), "large": torch.ones(5)}, sparsity=0.5)

    assert (masks["small"].any().item(), masks["large"].all().item()) == (False, True)


def test_layer_scope_keeps_one_weight_per_layer():
    """Layer-wise pruning kills no layer, however sparse."""
    masks = make({"a": torch.ones(2), "b": torch.ones(1000)}, scope="layer", sparsity=0.99)

    assert {name: int(mask.sum()) for name, mask in masks.items()} == {"a": 1, "b": 10}


def test_threshold_is_compared_in_the_weights_own_precision():
    """0.1 in a file and 0.1 in a float32 weight are the same number to a reader."""
    weights = {"w": torch.tensor([0.1, -0.1, 0.2, 0.0])}

    assert make(weights, threshold=0.1)["w"].tolist() == [False, False, True, False]
    assert make(weights, threshold=0)["w"].tolist() == [True, True, True, False]


def test_threshold_may_leave_nothing():
    """Above the largest weight everything goes: a result, at chance, that the audit names."""
    assert total(make(ONES, threshold=1.0)) == 0


@pytest.mark.parametrize("threshold", [-0.1, float("nan")])
def test_threshold_that_is_no_magnitude_is_refused(threshold):
    """A negative one would silently prune nothing."""
    with pytest.raises(PruningError, match="threshold"):
        make(ONES, threshold=threshold)


@pytest.mark.parametrize(
    "options", [{"sparsity": 0.5}, {"sparsity": 0.5, "scope": "layer"}, {"threshold": 0.1}]
)
def test_nan_weights_are_refused_by_name(options):
    """NaN compares with nothing, so a ranking of it would be arbitrary."""
    with pytest.raises(PruningError, match="'b' is NaN"):
        make({"a": torch.ones(2), "b": torch.tensor([1.0, torch.nan])}, **options)


def test_random_pruning_does_not_read_the_weights():
    """The control has a mask where the magnitudes have none."""
    weights = {"w": torch.full((10,), torch.nan)}

    assert total(make(weights, method="random", sparsity=0.5)) == 5


def test_random_masks_are_pinned_by_the_seed():
    """The same seed prunes the same weights in every process and version; another seed prunes others."""
    weights = {"a": torch.zeros(2, 4), "b": torch.zeros(8)}
    masks = make(weights, method="random", sparsity=0.625, seed=0)

    kept = torch.cat([mask.flatten() for mask in masks.values()]).nonzero().flatten().tolist()

    assert kept == [0, 1, 7, 8, 9, 15]
    assert not torch.equal(masks["b"], make(weights, method="random", sparsity=0.625, seed=1)["b"])


def test_random_masks_spread_evenly():
    """Each layer keeps about its share: a uniform draw over all weights, not layer by layer."""
    weights = {"a": torch.zeros(40_000), "b": torch.zeros(10_000)}

    masks = make(weights, method="random", sparsity=0.9)

    assert int(masks["a"].sum()) == pytest.approx(4000, abs=150)
    assert int(masks["a"][:20_000].sum()) == pytest.approx(2000, abs=150)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_sparsity_below_what_is_pruned_is_refused(scope):
    """Masks never grow, so an unsorted chain is a mistake."""
    masks = make(ONES, scope=scope, sparsity=0.8)

    with pytest.raises(PruningError, match="never come back"):
        make(ONES, masks, scope=scope, sparsity=0.2)


def test_negative_count_is_refused():
    """A count that went below zero is a mistake of the caller."""
    with pytest.raises(PruningError, match="keep -1"):
        keep(ONES, -1)


@pytest.mark.parametrize("options", [{}, {"sparsity": 0.5, "threshold": 0.1}])
def test_exactly_one_of_sparsity_and_threshold_is_needed(options):
    """They exclude each other."""
    with pytest.raises(PruningError, match="either a sparsity or a threshold"):
        make(ONES, **options)


def test_threshold_needs_magnitudes():
    """Random scores are no magnitudes."""
    with pytest.raises(PruningError, match="threshold cuts magnitudes"):
        make(ONES, method="random", threshold=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"method": "magntude"}, "did you mean 'magnitude'"), ({"scope": "laver"}, "did you mean 'layer'")],
)
def test_unknown_names_point_to_the_nearest(options, message):
    """A typing mistake in the file."""
    with pytest.raises(UnknownNameError, match=message):
        make(ONES, sparsity=0.5, **options)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"a": torch.ones(2, 3).bool()}, r"without a mask \['b'\]"),
        ({**dense_masks(ONES), "c": torch.ones(1).bool()}, r"without a weight \['c'\]"),
        ({**dense_masks(ONES), "a": torch.ones(3, 2).bool()}, "shape"),
        ({**dense_masks(ONES), "a": torch.ones(2, 3)}, "torch.bool"),
        ({**dense_masks(ONES), "a": torch.ones(2, 3, device="meta").bool()}, "on meta"),
    ],
)
@pytest.mark.parametrize("method", ["magnitude", "random"])
def test_masks_that_do_not_fit_are_refused(method, masks, message):
    """Masks of another model or level."""
    with pytest.raises(PruningError, match=message):
        make(ONES, masks, method=method, sparsity=0.5)


def test_order_of_the_masks_does_not_matter():
    """Masks from a file can be sorted by name; the order is that of the weights."""
    weights = {"z": torch.tensor([3.0, 1.0]), "a": torch.tensor([2.0, 1.0])}
    backwards = dict(reversed(dense_masks(weights).items()))

    masks = make(weights, backwards, sparsity=0.25)

    assert list(masks) == ["z", "a"]
    assert (masks["z"].tolist(), masks["a"].tolist()) == ([True, True], [True, False])


def test_no_weights_at_all_are_refused():
    """A model without convolution or linear layers has no ticket."""
    with pytest.raises(PruningError, match="no prunable weights"):
        make({}, sparsity=0.5)


def test_parameters_are_ranked_without_a_graph():
    """Masks of parameters that require gradients must not keep the graph alive."""
    masks = make({"w": torch.nn.Parameter(torch.tensor([1.0, 2.0]))}, sparsity=0.5)

    assert (masks["w"].requires_grad, masks["w"].tolist()) == (False, [False, True])
