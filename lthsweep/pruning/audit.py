"""The audit of a ticket: the requested weights were pruned, stayed pruned, and survivors started at the snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from lthsweep.errors import PruningError
from lthsweep.pruning.counts import Rates, kept_by_rates, kept_count
from lthsweep.pruning.masks import Weights, check_masks, dead_channels, layer_rows

__all__ = ["Audit", "audit", "optimizer_momenta"]


@dataclass(frozen=True)
class Audit:
    """The findings of one ticket.

    Attributes:
        asked: the requested sparsity; None with a threshold.
        threshold: the requested threshold; None with a sparsity.
        got: the sparsity of the masks, over all prunable weights.
        total: number of prunable weights.
        asked_kept: number of weights that had to remain.
        kept: number of weights that remain.
        exact: the masks keep exactly the requested weights: the count (in every layer, for scope "layer"), or every
            magnitude above the threshold and no other. A shuffled mask keeps the counts of its ticket; whole filters
            come as near to the count as possible.
        pruned_weights_zero: every pruned weight is zero at the start and at the end.
        pruned_momenta_zero: so is every optimizer momentum of a pruned weight at the end.
        survivors_equal_snapshot: at the start, each survivor equals the snapshot bit for bit.
        finite: no weight is NaN or infinite at the end. A diverged run is a result, so this does not count in
            `ok`.
        dead_layers: layers that keep no weight, by parameter name. A finding, not an error: does not count in `ok`.
        dead_channels: layer → number of output channels that keep no weight.
        ok: all promises hold.
    """

    asked: float | None
    threshold: float | None
    got: float
    total: int
    asked_kept: int
    kept: int
    exact: bool
    pruned_weights_zero: bool
    pruned_momenta_zero: bool
    survivors_equal_snapshot: bool
    finite: bool
    dead_layers: tuple[str, ...]
    dead_channels: dict[str, int]

    @property
    def ok(self) -> bool:
        """True if all promises hold."""
        return (
            self.exact
            and self.pruned_weights_zero
            and self.pruned_momenta_zero
            and self.survivors_equal_snapshot
        )

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON, including `ok`."""
        return {**asdict(self), "dead_layers": list(self.dead_layers), "ok": self.ok}


def audit(
    masks: Weights,
    *,
    snapshot: Weights,
    start: Weights,
    final: Weights,
    momenta: Mapping[str, Sequence[Tensor]],
    sparsity: float | None = None,
    threshold: float | None = None,
    scope: str = "global",
    rates: Rates = (),
    kept_before: Mapping[str, int] | None = None,
    parent: Weights | None = None,
    shuffle: str | None = None,
    allowed_error: int | None = None,
    transposed: Mapping[str, int] | None = None,
) -> Audit:
    """Compare a ticket with the request. Changes nothing.

    Args:
        masks: the ticket's masks, in layer order; all tensors on one device.
        snapshot: the weights to which survivors return: those of the dense run at the rewind epoch, or the parent's
            final ones if nothing is rewound.
        start: the ticket's weights before its first step.
        final: its weights after its last step.
        momenta: parameter name → the optimizer's tensors of the weight's shape at the end; see
            `optimizer_momenta`. A name without momenta can be missing.
        sparsity: the requested share of all prunable weights. Give either this or `threshold`.
        threshold: the requested threshold.
        scope: "global", or "layer" if the sparsity applies to every layer.
        rates: layers that lose less, see `kept_by_rates`; with scope "layer".
        kept_before: parameter name → number of weights before this pruning; None: all of them. Needed with rates only.
        parent: the weights that the threshold cut; needed with a threshold only.
        shuffle: "layer" or "global" if the masks are those of a ticket after shuffling: then only counts are
            checked, in each layer or in total, and not positions.
        allowed_error: for whole filters, the number of weights by which the total can miss the sparsity: half of the
            largest filter. The counts of single layers are then not checked. None: counts are exact.
        transposed: weight of a transposed convolution → its groups, to count dead channels.

    Raises:
        PruningError: if not exactly one of sparsity and threshold is given, a threshold comes without
            `parent`, or tensors do not match the masks.
    """
    if (sparsity is None) == (threshold is None):
        raise PruningError(
            f"give either a sparsity or a threshold, not sparsity={sparsity}, threshold={threshold}"
        )
    for weights in (snapshot, start, final):
        check_masks(weights, masks)
    rows = layer_rows(masks, final)
    total, kept = sum(row.size for row in rows), sum(row.remaining for row in rows)
    if sparsity is not None:
        sizes = {row.name: row.size for row in rows}
        asked = (
            kept_by_rates(sizes, kept_before or sizes, sparsity, rates)
            if rates
            else {name: kept_count(size, sparsity) for name, size in sizes.items()}
        )
        asked_kept = (
            sum(asked.values()) if scope == "layer" and allowed_error is None else kept_count(total, sparsity)
        )
        each = scope == "layer" and shuffle != "global" and allowed_error is None
        exact = abs(kept - asked_kept) <= (allowed_error or 0) and (
            not each or all(asked[row.name] == row.remaining for row in rows)
        )
    else:
        asked_kept, exact = _above_threshold(masks, parent, threshold, shuffle)
    return Audit(
        asked=sparsity,
        threshold=threshold,
        got=(total - kept) / total,
        total=total,
        asked_kept=asked_kept,
        kept=kept,
        exact=exact,
        pruned_weights_zero=_zero_where_pruned(masks, start) and _zero_where_pruned(masks, final),
        pruned_momenta_zero=all(
            _zero_where_pruned(masks, {name: moment}) for name in masks for moment in momenta.get(name, ())
        ),
        survivors_equal_snapshot=all(
            torch.equal(start[name][mask], snapshot[name][mask]) for name, mask in masks.items()
        ),
        finite=all(bool(torch.isfinite(weight).all()) for weight in final.values()),
        dead_layers=tuple(row.name for row in rows if row.dead),
        dead_channels=dead_channels(masks, transposed),
    )


def optimizer_momenta(
    optimizer: torch.optim.Optimizer, params: Mapping[str, nn.Parameter]
) -> dict[str, tuple[Tensor, ...]]:
    """Every tensor of a parameter's shape in the optimizer's state: SGD's momentum, Adam's two moments.

    Args:
        optimizer: of torch.
        params: by name, as from `prunable_weights`.

    Returns:
        Name → tensors, in the optimizer's order; empty before the first step.
    """
    return {
        name: tuple(
            value
            for value in optimizer.state.get(param, {}).values()
            if isinstance(value, Tensor) and value.shape == param.shape
        )
        for name, param in params.items()
    }


def _above_threshold(
    masks: Weights, parent: Weights | None, threshold: float | None, shuffle: str | None
) -> tuple[int, bool]:
    """Count the parent's weights above the threshold; True if the masks keep exactly these.

    Weights that an earlier level pruned are zero in the parent, so earlier masks are not needed.
    """
    if parent is None or threshold is None:
        raise PruningError("auditing a threshold needs the parent's weights that it cut; pass parent=…")
    check_masks(parent, masks)
    above = {name: parent[name].abs() > threshold for name in masks}
    asked = {name: int(mask.sum()) for name, mask in above.items()}
    total = sum(asked.values())
    if shuffle == "global":
        return total, total == sum(int(mask.sum()) for mask in masks.values())
    if shuffle == "layer":
        return total, all(asked[name] == int(mask.sum()) for name, mask in masks.items())
    return total, all(torch.equal(above[name], mask) for name, mask in masks.items())


def _zero_where_pruned(masks: Weights, weights: Weights) -> bool:
    # != and not a sum: NaN differs from zero, too
    return not any(bool(((weight != 0) & ~masks[name]).any()) for name, weight in weights.items())
