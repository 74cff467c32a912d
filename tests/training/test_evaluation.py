"""Scores count every sample once, and never a NaN as correct."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from lthsweep.training.evaluation import evaluate
from tests.training.cases import convolutional, data_of, perceptron


def batches(images, labels, size):
    return [(images[i : i + size], labels[i : i + size]) for i in range(0, len(images), size)]


@pytest.mark.parametrize("size", [1, 7, 25, 59, 60, 100])
def test_a_partial_batch_weighs_what_it_should(size):
    """Dividing by the full batch size gives 98.9 % of the true accuracy at 10,000 images and batch 128."""
    generator = torch.Generator().manual_seed(3)
    images, labels = torch.randn(60, 1, 8, 8, generator=generator), torch.arange(60) % 10
    model = perceptron().eval()
    logits = model(images)

    score = evaluate(model, batches(images, labels, size))

    assert score.accuracy == (logits.argmax(1) == labels).sum().item() / 60
    assert score.loss == pytest.approx(functional.cross_entropy(logits, labels).item(), rel=1e-6)


class Saying(nn.Module):
    """Answers with the same logits for every image."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), -1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_logits_that_are_not_finite_are_wrong(bad, place):
    """`argmax` over NaN is class 0, so a test set of zeros would score a dead network as perfect."""
    logits = [3.0, 1.0]
    logits[place] = bad
    labels = torch.tensor([0, 0, 1])

    score = evaluate(Saying(*logits), [(torch.zeros(3, 1), labels)])

    assert score.accuracy == 0


def test_no_samples_have_no_score():
    """Not 0, which would be a bad score."""
    score = evaluate(perceptron(), [])

    assert math.isnan(score.loss)
    assert math.isnan(score.accuracy)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_leaves_the_model_as_it_was(packed, training):
    """Mode, BatchNorm statistics and generators: scoring must not be part of training."""
    model = convolutional(dropout=0.5).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.get_rng_state()

    first, second = (evaluate(model, data_of(packed).validation()) for _ in range(2))

    assert first == second
    assert model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)


def test_bfloat16_scores_nearly_as_float32(packed):
    """Loss is summed in double precision for any precision of the forward pass."""
    exact, rough = (
        evaluate(perceptron(), data_of(packed).validation(), precision=precision)
        for precision in ("fp32", "bf16")
    )

    assert rough.loss != exact.loss
    assert rough.loss == pytest.approx(exact.loss, rel=0.02)
