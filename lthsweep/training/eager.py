"""torch's optimizers without what `torch.compile` needs of them.

torch wraps methods of its optimizers so that a compiler can break its graphs there. The wrappers import the compiler, a
thousand modules with sympy among them, when the first optimizer is made: more than a second of processor time of
every worker at its start. Steps here are never traced, so they go to what is wrapped, which computes the same.
"""

from __future__ import annotations

import inspect
from typing import TypeVar

import torch

__all__ = ["eager"]

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)


def eager(kind: type[Kind]) -> type[Kind]:
    """A class of optimizers that takes the same steps, of the same name; not to be used inside of `torch.compile`.

    Args:
        kind: of `torch.optim`, not differentiable.
    """
    plain = {
        "add_param_group": inspect.unwrap(kind.add_param_group),
        "step": torch.no_grad()(inspect.unwrap(kind.step)),
        "__doc__": kind.__doc__,
        "__module__": __name__,
    }
    return type(kind.__name__, (kind,), plain)
