"""A graph gives the results of the eager step. Capture needs a GPU; the rest is tested on a CPU."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.nn import functional

from lthsweep.training.cuda_graph.graphed import Replay, graphed, relative_difference, unchanged
from tests.training.cases import convolutional, half_masks, perceptron

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def batch(seed, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(8, 1, 8, 8, generator=generator).to(device)
    return images, (torch.arange(8) % 10).to(device)


def gradients_of(model, masks=None):
    """A step's gradients, as the loop has them: forward, loss, backward, masks."""
    pairs = [(model.get_parameter(name), mask) for name, mask in (masks or {}).items()]

    def gradients(images, labels):
        for parameter in model.parameters():
            parameter.grad = None
        logits = model(images)
        loss = functional.cross_entropy(logits, labels)
        loss.backward()
        for parameter, mask in pairs:
            parameter.grad.mul_(mask)
        return loss.detach(), logits.detach()

    return gradients


def test_trying_a_step_leaves_no_trace():
    """Statistics of BatchNorm, the random generator and gradients are as before the first step."""
    model = convolutional(dropout=0.5).train()
    before = copy.deepcopy(model.state_dict())
    generator = torch.get_rng_state()

    with unchanged(list(model.parameters()), list(model.buffers()), torch.device("cpu")):
        gradients_of(model)(*batch(0))
        assert not torch.equal(generator, torch.get_rng_state())

    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(generator, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())


def held_in_place(model, masks):
    """A replay whose launch computes the step into tensors that stay, as a graph does."""
    gradients = gradients_of(model, masks)
    images, labels = batch(0)
    loss, logits = gradients(images, labels)
    held = [(parameter, parameter.grad.clone()) for parameter in model.parameters()]

    def launch():
        for old, new in zip((loss, logits), gradients(images, labels), strict=True):
            old.copy_(new)
        for parameter, gradient in held:
            gradient.copy_(parameter.grad)

    return Replay(launch, images, labels, loss, logits, held)


def test_graph_reads_the_given_batch():
    """Loss, logits and masked gradients are those of this batch, not of the one that was captured."""
    model = perceptron()
    masks = half_masks(model)
    expected = gradients_of(model, masks)(*batch(1))
    gradients = [parameter.grad.clone() for parameter in model.parameters()]

    found = held_in_place(model, masks)(*batch(1))

    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))


def test_losses_of_a_replay_may_be_kept():
    """The loop reads them hundreds of steps later, after many replays."""
    replay = held_in_place(perceptron(), {})

    first, _ = replay(*batch(1))
    kept = first.clone()
    replay(*batch(2))

    assert torch.equal(first, kept)


def test_a_replay_brings_its_gradients_back():
    """An optimizer silently skips parameters without gradients."""
    model = perceptron()
    replay = held_in_place(model, {})

    for parameter in model.parameters():
        parameter.grad = None
    replay(*batch(1))

    assert all(parameter.grad is not None for parameter in model.parameters())


def test_deviation_is_relative_to_all_tensors_together():
    """A small tensor can deviate a lot if its share of the norm is small."""
    expected = [torch.tensor([3.0]), torch.tensor([4.0])]

    assert relative_difference(expected, expected) == 0
    assert relative_difference([torch.tensor([3.0]), torch.tensor([4.5])], expected) == pytest.approx(0.1)
    assert math.isnan(relative_difference([torch.zeros(1)], [torch.zeros(1)]))
    assert math.isnan(relative_difference([torch.tensor([math.nan])], [torch.ones(1)]))


@NEEDS_GPU
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("make", [perceptron, convolutional])
def test_a_graph_gives_what_the_step_gives(make, dropout, capfd):
    """On new batches, after weights have changed in place, from the same random numbers."""
    model = make(dropout=dropout).cuda().train()
    masks = {name: mask.cuda() for name, mask in half_masks(model.cpu()).items()}
    model.cuda()
    alone = copy.deepcopy(model)
    gradients = gradients_of(model, masks)
    step = graphed(
        gradients,
        *batch(0, "cuda"),
        parameters=list(model.parameters()),
        buffers=list(model.buffers()),
    )
    assert isinstance(step, Replay), capfd.readouterr().out

    for seed in (1, 2):
        torch.cuda.manual_seed(seed)
        expected, outputs = gradients_of(alone, masks)(*batch(seed, "cuda"))
        torch.cuda.manual_seed(seed)
        loss, logits = step(*batch(seed, "cuda"))
        assert torch.allclose(loss, expected, rtol=1e-4)
        assert torch.allclose(logits, outputs, rtol=1e-4, atol=1e-5)
        assert torch.equal(logits.argmax(1), outputs.argmax(1))
        pairs = zip(model.parameters(), alone.parameters(), strict=True)
        assert relative_difference(*zip(*[(p.grad, q.grad) for p, q in pairs], strict=True)) < 1e-4
        with torch.no_grad():
            for parameter in (*model.parameters(), *alone.parameters()):
                parameter.mul_(0.9)
    for name, value in model.state_dict().items():
        assert torch.allclose(value, alone.state_dict()[name], rtol=1e-4, atol=1e-6), name


@NEEDS_GPU
def test_model_that_reads_values_is_not_captured(capfd):
    """The reason is printed once."""
    model = perceptron().cuda()
    plain = gradients_of(model)

    def gradients(images, labels):
        loss, logits = plain(images, labels)
        assert loss.item() > 0
        return loss, logits

    found = graphed(gradients, *batch(0, "cuda"), parameters=list(model.parameters()))

    assert found is gradients
    assert "no CUDA graph" in capfd.readouterr().out
    gradients(*batch(1, "cuda"))
