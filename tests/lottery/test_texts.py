"""Dense runs and tickets on texts keep the promises that they keep on images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lthsweep.data.cache import open_packed, prepare
from lthsweep.data.entry import DataOptions
from lthsweep.lottery.context import TrainingContext
from lthsweep.lottery.dense import train_dense
from lthsweep.models.shapes import TextShape
from lthsweep.pruning.counts import kept_count
from tests.lottery.cases import (
    SEED,
    STEPS,
    DenseRun,
    Watch,
    assert_same_result,
    finished,
    prune_step,
    ticket_of,
)
from tests.training.cases import train_options

NETWORKS = {
    "text_cnn": {"name": "text_cnn", "embedding": 8, "filters": 4, "dropout": 0.3},
    "text_transformer": {"name": "text_transformer", "embedding": 8, "heads": 2, "layers": 1, "dropout": 0.3},
}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """90 short texts for training, 60 for validation, 30 for the test, of three subjects."""
    folder = tmp_path_factory.mktemp("texts")
    chance = np.random.default_rng(0)
    for part, count in (("train", 150), ("test", 30)):
        lines = [
            f"{n % 3},{' '.join(f'w{n % 3 * 4 + w}' for w in chance.integers(0, 5, 6))}" for n in range(count)
        ]
        (folder / f"{part}.csv").write_text("\n".join(["label,text", *lines]))
    options = {"name": "text_csv", "path": str(folder), "length": 8}
    prepare(options, cache=folder / "cache")
    return open_packed(options, cache=folder / "cache")


def context(texts, network, **changes):
    return TrainingContext(
        model={**NETWORKS[network], "init": "default"},
        data=DataOptions(validation=60),  # texts have no augmentation, padding or normalization
        train=train_options("adam", **changes),
        packed=texts,
        device=torch.device("cpu"),
    )


def dense_of(made):
    snapshots = {}
    result = train_dense(made, SEED, snapshot_steps=range(3 * STEPS), save_snapshot=snapshots.__setitem__)
    return DenseRun(made, finished(result), snapshots)


def test_text_shape_is_length_and_vocabulary(texts):
    """The vocabulary of a text network: 13 words, padding, and unknown."""
    assert context(texts, "text_cnn").input_shape == TextShape(length=8, vocabulary=15)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_ticket_is_exact_audited_and_resumable(texts, network):
    """Stopped within an epoch, with dropout: the same weights, masks and numbers."""
    dense = dense_of(context(texts, network))
    step, watch = prune_step(0.8, 1), Watch(stop=STEPS + 7)

    whole = finished(ticket_of(dense, step))
    assert ticket_of(dense, step, between_steps=watch) is None
    resumed = finished(ticket_of(dense, step, resume=watch.checkpoint))

    assert_same_result(resumed, whole)
    total = sum(mask.size for mask in whole.masks.values())
    assert sum(int(mask.sum()) for mask in whole.masks.values()) == kept_count(total, 0.8)
    assert whole.audit["ok"]
    assert not any("embedding" in name or "places" in name for name in whole.masks)
    assert not whole.weights["embedding.weight"][0].any()  # what fills texts up is never learned


@pytest.mark.parametrize("network", NETWORKS)
def test_half_precision_trains_texts(texts, network):
    """bf16 is for all networks."""
    result = dense_of(context(texts, network, precision="bf16")).result

    assert np.isfinite(result.metrics.test_loss)
