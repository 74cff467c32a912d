"""All pruning criteria by name, with what each needs and allows. Free of torch.

An entry is the whole extension: the values of `prune.method`, its description, the error texts, the compatibility rules
of the file, and the reference page are generated from it. See docs/extending.md.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TypeVar

from lthsweep.errors import CodeError, look_up
from lthsweep.usercode import Code, is_code, pinned_source

__all__ = ["CRITERIA", "Criterion", "criterion", "criterion_of", "methods_that"]

_Function = TypeVar("_Function", bound=Callable[..., object])


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """The needs and abilities of a pruning criterion.

    Attributes:
        scores: "module:function" of (ScoringContext) → scores by parameter name; the highest scores stay. A structured
            criterion returns one score per channel, by the root of its family.
        summary: completes "`name` …" in the reference; one clause that starts with a verb.
        at_initialization: scores the network before training. Such a criterion prunes once: it has no chains.
        structured: removes whole filters, so the network becomes physically smaller.
        supports_threshold: its scores are the magnitudes of the weights, so an absolute threshold can cut them.
        rounds: number of steps in which the mask is made; scores are computed again before each.
        undefined_for: pattern of network names (`text_*`) → the reason that completes "is not defined for NAME: …".
    """

    scores: str
    summary: str
    at_initialization: bool = False
    structured: bool = False
    supports_threshold: bool = False
    rounds: int = 1
    undefined_for: Mapping[str, str] = field(default_factory=dict)

    @property
    def supports_chains(self) -> bool:
        """True if a later level can rank again: initial weights would give every level the same ranking."""
        return not self.at_initialization

    @property
    def supports_budget(self) -> bool:
        """True if it works with `prune.schedule = "budget"`, which trains a masked network along a chain."""
        return self.supports_chains and not self.structured

    @property
    def supports_rates(self) -> bool:
        """True if it works with `prune.rates`: it scores single weights of the trained network."""
        return self.supports_chains and not self.structured

    @property
    def supports_shuffling(self) -> bool:
        """True if its mask can be shuffled for a control: shuffled positions are not whole filters."""
        return not self.structured

    def reason_against(self, network: str) -> str | None:
        """Why the criterion is not defined for a network; None if it is.

        Args:
            network: value of `sweep.model.name`.
        """
        matching = (reason for pattern, reason in self.undefined_for.items() if fnmatchcase(network, pattern))
        return next(matching, None)


CRITERIA: Mapping[str, Criterion] = {
    "magnitude": Criterion(
        scores="lthsweep.pruning.criteria.magnitude:magnitude_scores",
        summary="removes the smallest weights of the trained network",
        supports_threshold=True,
    ),
    "random": Criterion(
        scores="lthsweep.pruning.criteria.random:random_scores",
        summary="removes weights at random",
    ),
    "snip": Criterion(
        scores="lthsweep.pruning.criteria.snip:snip_scores",
        summary="removes, before training, the weights with the least effect on the loss",
        at_initialization=True,
    ),
    "synflow": Criterion(
        scores="lthsweep.pruning.criteria.synflow:synflow_scores",
        summary="removes, before training and in 100 rounds, the weights that carry the least flow",
        at_initialization=True,
        rounds=100,
        undefined_for={"text_transformer": "its LayerNorm subtracts the mean, so no flow passes"},
    ),
    "filter": Criterion(
        scores="lthsweep.pruning.criteria.filter:filter_scores",
        summary="removes the weakest whole filters, so the network becomes smaller",
        structured=True,
        undefined_for={"text_*": "only networks for images and sounds have filters to remove"},
    ),
    "lamp": Criterion(
        scores="lthsweep.pruning.criteria.lamp:lamp_scores",
        summary="removes the weights that are smallest relative to the larger ones of their layer",
    ),
    "taylor": Criterion(
        scores="lthsweep.pruning.criteria.taylor:taylor_scores",
        summary="removes the weights of the trained network with the smallest gradient × weight on one batch",
    ),
    "magnitude-increase": Criterion(
        scores="lthsweep.pruning.criteria.magnitude_increase:magnitude_increase_scores",
        summary="removes the weights whose magnitude training increased the least",
    ),
}
"""Value of `prune.method` → its criterion."""


def criterion_of(method: str) -> Criterion:
    """The entry of a pruning method; of user code, the attributes that its source declares with `@criterion`.

    Runs no code. Source that is not found, or has another hash than the name, has the default attributes: such a
    criterion can be read from records but not run.

    Raises:
        UnknownNameError: if the registry has no such name.
        CodeError: if user code does not have the function, or declares attributes that cannot be read.
    """
    if is_code(method):
        return _declared(method, pinned_source(method))
    return look_up("pruning method", method, CRITERIA)


def methods_that(supports: Callable[[Criterion], bool]) -> tuple[str, ...]:
    """The names of the registry whose entry satisfies a condition, in order."""
    return tuple(name for name, entry in CRITERIA.items() if supports(entry))


def criterion(*, at_initialization: bool = False, rounds: int = 1) -> Callable[[_Function], _Function]:
    """Decorator that declares the attributes of a user's criterion; see `Criterion` for their meaning.

    The attributes are read from the source when a file is read, without running it, so write them as literals:
    `@criterion(at_initialization=True)`.

    Args:
        at_initialization: scores the network before training.
        rounds: number of steps in which the mask is made.
    """

    def mark(function: _Function) -> _Function:
        function.__dict__["declared"] = (at_initialization, rounds)  # `custom` compares it with the source
        return function

    return mark


def _declared(method: str, source: bytes | None) -> Criterion:
    entry = Criterion(scores=method, summary="is user code")
    if source is None:
        return entry
    code = Code.parse(method)
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError) as error:
        raise CodeError(f"{method!r}: its module is not valid Python: {error}") from None
    functions = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == code.function]
    if not functions:
        raise CodeError(f"{method!r}: its module defines no function {code.function!r} at the top level")
    for call in functions[-1].decorator_list:
        if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] == "criterion":
            at_initialization, rounds = _attributes(method, call)
            return replace(entry, at_initialization=at_initialization, rounds=rounds)
    return entry


def _attributes(method: str, call: ast.Call) -> tuple[bool, int]:
    allowed = {"at_initialization": bool, "rounds": int}
    found: dict[str, bool | int] = {"at_initialization": False, "rounds": 1}
    for keyword in call.keywords:
        value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if (
            not isinstance(value, int)
            or keyword.arg not in allowed
            or type(value) is not allowed[keyword.arg]
        ):
            raise CodeError(
                f"{method!r}: @criterion takes the literals at_initialization=True or False and rounds=NUMBER, not "
                f"{ast.unparse(keyword)}"
            )
        found[keyword.arg] = value
    if call.args or not 1 <= found["rounds"] <= 1000:
        raise CodeError(f"{method!r}: @criterion takes keywords only, and rounds from 1 to 1000")
    return bool(found["at_initialization"]), found["rounds"]
