"""Optimizers do what torch's plain reference does, and their state can be named, stored and put back."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from lthsweep.errors import TrainingError
from lthsweep.training.optimizers import optimizer_state, restore_optimizer, without_compiler
from tests.training.cases import OPTIMIZERS, convolutional, optimizer_of, perceptron

PLAIN = {"foreach": False, "fused": False}


def reference(model: nn.Module, options) -> torch.optim.Optimizer:
    """torch's single-tensor implementations, from the options by name."""
    rest = {key: value for key, value in options.items() if key != "name"}
    if options["name"] == "sgd":
        return torch.optim.SGD(model.parameters(), **rest, **PLAIN)
    betas = rest.pop("beta1"), rest.pop("beta2")
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[options["name"]]
    return kind(model.parameters(), betas=betas, **rest, **PLAIN)


def set_gradients(models, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameters in zip(*(model.parameters() for model in models), strict=True):
        gradient = torch.randn(parameters[0].shape, generator=generator)
        for parameter in parameters:
            parameter.grad = torch.empty_like(parameter).copy_(gradient)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("make", [perceptron, convolutional])
def test_fused_steps_follow_the_reference(name, make):
    """The fused kernels are there for speed; over ten steps they may differ by rounding only."""
    model = make()
    plain = copy.deepcopy(model)
    ours, theirs = optimizer_of(model, name), reference(plain, OPTIMIZERS[name])

    for step in range(10):
        set_gradients((model, plain), step)
        for optimizer in (ours, theirs):
            for group in optimizer.param_groups:
                group["lr"] = OPTIMIZERS[name]["lr"] * (1 - step / 20)
            optimizer.step()

    for (label, weight), expected in zip(model.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(
            weight, expected, rtol=1e-5, atol=1e-6, msg=lambda text, at=label: f"{at}: {text}"
        )


def test_sgd_with_momentum_is_the_textbook_recurrence():
    """v ← 0.9·v + g + λw; w ← w − lr·v, the first v being the gradient itself."""
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    optimizer = optimizer_of(layer, "sgd", lr=0.5, weight_decay=0.25)

    for _ in range(2):
        layer.weight.grad = torch.ones_like(layer.weight)
        optimizer.step()

    # v1 = 1 + 0.25 = 1.25, w1 = 0.375; v2 = 1.125 + 1 + 0.09375 = 2.21875, w2 = -0.734375
    assert layer.weight.item() == pytest.approx(-0.734375, abs=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_survives_being_named_and_put_back(name):
    """A restored optimizer makes the same next steps, bit for bit, also over channels-last weights."""
    model = convolutional()
    optimizer = optimizer_of(model, name)
    for step in range(3):
        set_gradients((model,), step)
        optimizer.step()
    # Stored arrays are C-contiguous whatever the memory format was.
    stored = {name: value.clone().contiguous() for name, value in optimizer_state(optimizer, model).items()}
    again = copy.deepcopy(model)
    restored = optimizer_of(again, name)
    restore_optimizer(restored, again, stored)

    for step in range(3, 6):
        set_gradients((model, again), step)
        optimizer.step()
        restored.step()

    for (label, weight), other in zip(model.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(weight, other), label
    assert {k: v.tolist() for k, v in optimizer_state(optimizer, model).items()} == {
        k: v.tolist() for k, v in optimizer_state(restored, again).items()
    }


def test_state_is_named_by_parameter_and_entry():
    """A snapshot can be read without building the optimizer."""
    model = perceptron()
    entries = {"sgd": {"momentum_buffer"}, "plain": set(), "adam": {"exp_avg", "exp_avg_sq", "step"}}
    for name, expected in entries.items():
        optimizer = optimizer_of(model, name)
        assert optimizer_state(optimizer, model) == {}
        set_gradients((model,), 0)
        optimizer.step()
        names = {joint.rsplit(":", 1)[0] for joint in optimizer_state(optimizer, model)}
        assert names == ({label for label, _ in model.named_parameters()} if expected else set())
        assert {joint.rsplit(":", 1)[1] for joint in optimizer_state(optimizer, model)} == expected


def test_what_is_put_back_is_a_copy():
    """A snapshot is used by many tickets; training one may not change it for the next."""
    model = perceptron()
    optimizer = optimizer_of(model, "adam")
    set_gradients((model,), 0)
    optimizer.step()
    stored = {name: value.clone() for name, value in optimizer_state(optimizer, model).items()}
    before = {name: value.clone() for name, value in stored.items()}

    restore_optimizer(optimizer, model, stored)
    set_gradients((model,), 1)
    optimizer.step()

    assert all(torch.equal(stored[name], before[name]) for name in before)


def test_restoring_nothing_is_a_fresh_optimizer():
    """The snapshot at initialization has no optimizer state, so the existing state must be removed."""
    model = perceptron()
    optimizer = optimizer_of(model, "sgd")
    set_gradients((model,), 0)
    optimizer.step()

    restore_optimizer(optimizer, model, {})

    assert optimizer_state(optimizer, model) == {}


def test_state_of_another_model_is_refused():
    """With the parameter that does not fit and what to do."""
    model = perceptron()
    optimizer = optimizer_of(model, "sgd")

    with pytest.raises(TrainingError, match=r"'fc9\.weight'.*lthsweep doctor"):
        restore_optimizer(optimizer, model, {"fc9.weight:momentum_buffer": torch.zeros(2)})


TORCHS = {
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-2}),
    "adam": (torch.optim.Adam, {"lr": 0.01}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 1e-2}),
}


@pytest.mark.parametrize("name", TORCHS)
def test_steps_are_those_of_torch(name):
    """To the last bit, weights and states; and each goes by the name of its class in messages."""
    kind, options = TORCHS[name]
    torch.manual_seed(0)
    start, gradients = torch.randn(7, 5), torch.randn(4, 7, 5)
    ends = {}
    for each in (kind, without_compiler(kind)):
        weight = torch.nn.Parameter(start.clone())
        optimizer = each([weight], fused=True, **options)
        for gradient in gradients:
            weight.grad = gradient.clone()
            optimizer.step()
        ends[each] = [weight.detach(), *optimizer.state[weight].values()]
        assert type(optimizer).__name__ == kind.__name__

    theirs, ours = ends.values()
    assert all(map(torch.equal, theirs, ours))


@pytest.mark.slow
def test_a_worker_does_not_import_the_compiler():
    """The import takes a second at every worker's start. A fresh process, because this one can have imported it."""
    program = """
import sys, torch
from lthsweep.training.optimizers import SGD, Adam, AdamW
adam = {"lr": 0.1, "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}
for options in (SGD(lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0), Adam(**adam), AdamW(**adam)):
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    options.build([weight]).step()
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False"]
