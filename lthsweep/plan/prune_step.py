"""The pruning step of a ticket, and how a control's step differs from its ticket's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import JsonValue, TypeAdapter

from lthsweep.plan.rewind import RewindPoint
from lthsweep.plan.rounds import Budget
from lthsweep.spec.prune_table import ControlName, Rewind, Scope

__all__ = ["CONTROLS", "TICKET", "Control", "LayerRules", "PruneStep", "controlled"]

TICKET: Literal["ticket"] = "ticket"


@dataclass(frozen=True, slots=True)
class Control:
    """How a control's pruning step differs from its ticket's.

    A control has the same parent as its ticket: the dense run, or the level before in the chain of tickets. The mask is
    a pure function of the parent's final weights, so both have the same mask without waiting for each other. No run
    descends from a control.

    Attributes:
        rewind: replaces the ticket's `rewind`; None keeps it.
        own_step: False where the changed `rewind` is all there is: then the step is that of an ordinary run, which
            shares its key.
        fresh_weights: weights are drawn anew. They have no past to return to, so they train from step 0, and with
            one-shot pruning all rewind epochs share one run.
        shuffle: among which weights the places of the mask are shuffled; None keeps them.
    """

    rewind: Rewind | None = None
    own_step: bool = True
    fresh_weights: bool = False
    shuffle: Literal["layer", "global"] | None = None


CONTROLS: Mapping[ControlName, Control] = {
    TICKET: Control(own_step=False),
    "reinit": Control(rewind="weights", fresh_weights=True),
    "reinit-masked": Control(rewind="weights", fresh_weights=True),
    "random": Control(shuffle="layer"),
    "random-global": Control(shuffle="global"),
    "fine-tune": Control(rewind="none", own_step=False),
    "lr-rewind": Control(rewind="lr", own_step=False),
}
"""Value of `prune.control` → the changes that it makes to the ticket."""

_ROLES: Mapping[Rewind, ControlName] = {
    control.rewind: name for name, control in CONTROLS.items() if control.rewind and not control.own_step
}
"""`rewind` → the control that it amounts to."""


@dataclass(frozen=True, slots=True)
class LayerRules:
    """Settings that name layers by pattern.

    Attributes:
        exclude: patterns of layers that are never pruned.
        rates: (pattern, share of the others' rate) of layers that lose fewer weights.
    """

    exclude: tuple[str, ...] = ()
    rates: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class PruneStep:
    """One pruning: how, how much, and to where the survivors return.

    A setting of `[prune]` that a run depends on is one field here, of the same name: expansion copies it, the key
    hashes it (see `manifest`), tasks and records carry it.

    Attributes:
        method, scope, rewind, control: as in `[prune]`.
        exclude, rates: as in `[prune]`, sorted, so that their order changes no key.
        point: where in the dense run survivors return to.
        sparsity: fraction of all prunable weights that are gone afterward.
        threshold: weights of at most this magnitude are removed. Exactly one of sparsity and threshold is set.
        budget: with a budget, the run trains, prunes and rewinds in as many rounds as the time allows; no weights of
            a parent are ranked.
    """

    method: str
    rewind: Rewind
    point: RewindPoint
    scope: Scope = "global"
    sparsity: float | None = None
    threshold: float | None = None
    control: ControlName = TICKET
    exclude: tuple[str, ...] = ()
    rates: tuple[tuple[str, float], ...] = ()
    budget: Budget | None = None

    @property
    def returns_weights(self) -> bool:
        """Whether survivors return to the dense run's snapshot; otherwise they keep other weights."""
        return self.rewind in ("weights", "weights+optimizer") and not self.fresh_weights

    @property
    def fresh_weights(self) -> bool:
        """Whether weights are drawn anew."""
        return CONTROLS[self.control].fresh_weights

    @property
    def role(self) -> ControlName:
        """ "ticket" or the name of a control, whether requested as `control` or as `rewind`."""
        return self.control if self.control != TICKET else _ROLES.get(self.rewind, TICKET)

    @property
    def layer_rules(self) -> LayerRules:
        """The settings that name layers."""
        return LayerRules(self.exclude, self.rates)

    def manifest(self) -> dict[str, JsonValue]:
        """The part of a run's manifest that describes its pruning: every field that is set and has an effect."""
        out: dict[str, JsonValue] = _SCHEMA.dump_python(self, mode="json", exclude_none=True)
        if self.threshold is not None:
            del out["scope"]  # a threshold is one number for all layers
        if self.rewind == "weights+optimizer" and self.point.at_initialization:
            out["rewind"] = "weights"  # no optimizer has a state before its first step
        return out

    @classmethod
    def of_manifest(cls, manifest: object) -> PruneStep:
        """The step that `manifest` describes; fields that it leaves out are at their defaults.

        Raises:
            ValueError: if it is not a manifest of a step.
        """
        return _SCHEMA.validate_python(manifest)


_SCHEMA = TypeAdapter(PruneStep)


def controlled(step: PruneStep, control: ControlName) -> PruneStep:
    """The step of a control, from its ticket's. Equal computations become equal steps."""
    if control == TICKET:
        return step
    change = CONTROLS[control]
    return replace(
        step,
        rewind=change.rewind or step.rewind,
        point=RewindPoint(0) if change.fresh_weights else step.point,
        control=control if change.own_step else TICKET,
    )
