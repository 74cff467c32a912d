from __future__ import annotations

import hashlib
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import functional as torchvision_functional

from lthsweep.data.augment import crop_flip
from lthsweep.data.batching import TrainBatches, evaluation_batches, resident
from lthsweep.data.cache import open_packed, prepare
from lthsweep.data.order import epoch_order
from lthsweep.data.packed import Packed
from lthsweep.errors import DataError, UnknownNameError


def packed_of(images: np.ndarray, labels: np.ndarray | None = None) -> Packed:
    """A data set in memory, without a file behind it."""
    return Packed(
        train_images=images,
        train_labels=np.arange(len(images)) % 3 if labels is None else labels,
        test_images=images,
        test_labels=np.arange(len(images)) % 3,
        mean=tuple(0.25 + 0.1 * c for c in range(images.shape[3])),
        std=tuple(0.2 + 0.05 * c for c in range(images.shape[3])),
        class_names=("a", "b", "c"),
        name="made",
        source="s",
        fingerprint="",
        folder=None,
    )


IMAGES = np.random.default_rng(0).integers(0, 256, (40, 7, 6, 3), dtype=np.uint8)
PACKED = packed_of(IMAGES)


def batches(packed=PACKED, indices=None, *, batch_size=8, seed=1, augment="crop-flip", normalize="dataset"):
    chosen = np.arange(len(packed.train_images)) if indices is None else indices
    return TrainBatches(
        packed,
        chosen,
        batch_size=batch_size,
        seed=seed,
        augment=augment,
        padding=2,
        normalize=normalize,
        device="cpu",
    )


def epoch_of(source, epoch, start_step=0):
    pairs = list(source.epoch(epoch, start_step))
    return torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs])


@pytest.mark.parametrize("augment", ["none", "crop", "crop-flip"])
@pytest.mark.parametrize("channels", [1, 3])
def test_batches_equal_torchvisions_pad_crop_flip(augment, channels):
    """Every pixel as torchvision's functions give it for the same offsets: pad, cut, then mirror."""
    packed = packed_of(IMAGES[..., :channels])
    order = epoch_order(1, 3, np.arange(40))
    dy, dx, flips = crop_flip(1, 3, order, padding=2, flip=augment == "crop-flip")

    x, y = epoch_of(batches(packed, augment=augment), 3)

    for row, sample in enumerate(order):
        image = torch.from_numpy(packed.train_images[sample]).permute(2, 0, 1)
        if augment != "none":
            image = torchvision_functional.pad(image, [2])
            image = torchvision_functional.crop(image, int(dy[row]), int(dx[row]), 7, 6)
        if flips[row] and augment == "crop-flip":
            image = torchvision_functional.hflip(image)
        expected = torchvision_functional.normalize(image / 255, packed.mean, packed.std)
        torch.testing.assert_close(x[row], expected, rtol=0, atol=1e-6)
        assert y[row] == packed.train_labels[sample]


def test_batches_are_float_in_channels_last_memory():
    """The layout in which convolutions are quickest, without a copy by the model."""
    x, y = next(batches().epoch(0))

    assert (x.shape, x.dtype, y.dtype) == ((8, 3, 7, 6), torch.float32, torch.int64)
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_batches_are_new_at_each_step():
    """A batch that the caller keeps does not change later."""
    steps = batches().epoch(0)
    first, _ = next(steps)
    copy = first.clone()
    list(steps)

    assert torch.equal(first, copy)


@given(st.integers(2, 40), st.integers(0, 5), st.sampled_from(["none", "crop", "crop-flip"]))
def test_samples_do_not_depend_on_the_batch_size(batch_size, epoch, augment):
    """The batch size only cuts the sequence of an epoch; samples after the last full batch are not used."""
    whole_x, whole_y = epoch_of(batches(batch_size=40, augment=augment), epoch)

    x, y = epoch_of(batches(batch_size=batch_size, augment=augment), epoch)

    kept = 40 - 40 % batch_size
    assert len(y) == kept
    assert torch.equal(x, whole_x[:kept]) and torch.equal(y, whole_y[:kept])


@given(st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_can_resume_at_any_step(start_step, epoch):
    """A resumed run gets the same batches as an uninterrupted one."""
    all_steps = list(batches().epoch(epoch))

    rest = list(batches().epoch(epoch, start_step))

    assert len(rest) == len(all_steps) - start_step
    for (x, y), (expected_x, expected_y) in zip(rest, all_steps[start_step:], strict=True):
        assert torch.equal(x, expected_x) and torch.equal(y, expected_y)


@given(
    st.integers(1, 9),
    st.integers(2, 40),
    st.integers(0, 5),
    st.sampled_from(["none", "crop-flip", "shift"]),
    st.data(),
)
def test_prefetched_batches_are_the_same(ahead, batch_size, epoch, augment, data):
    """A GPU launches the kernels of many steps at once; a resumed run can start in the middle of them."""
    expected = batches(batch_size=batch_size, augment=augment)
    source = batches(batch_size=batch_size, augment=augment)
    source.ahead = ahead
    start = data.draw(st.integers(0, source.steps))

    found = list(source.epoch(epoch, start))

    assert expected.ahead == 1
    for (x, y), (one, other) in zip(found, expected.epoch(epoch, start), strict=True):
        assert torch.equal(x, one) and torch.equal(y, other)
        assert x.stride() == one.stride()


def test_augmentation_does_not_depend_on_the_validation_split():
    """Augmentation belongs to (seed, epoch, sample), not to the place in the batch or to the others."""
    few = np.array([3, 11, 12, 30, 39])
    order, order_few = epoch_order(1, 2, np.arange(40)), epoch_order(1, 2, few)

    x, _ = epoch_of(batches(), 2)
    x_few, _ = epoch_of(batches(indices=few, batch_size=5), 2)

    for row, sample in enumerate(order_few):
        assert torch.equal(x_few[row], x[list(order).index(sample)])


SCRIPT = """
import hashlib, sys
import numpy as np
from pathlib import Path
from lthsweep.data.batching import TrainBatches
from lthsweep.data.cache import open_packed

packed = open_packed({"name": "digits", "size": 8}, cache=Path(sys.argv[1]))
source = TrainBatches(packed, np.arange(200), batch_size=64, seed=5, augment="crop-flip", padding=1,
                      normalize="dataset", device="cpu")
digest = hashlib.sha256()
for x, y in source.epoch(3):
    digest.update(x.numpy().tobytes() + y.numpy().tobytes())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_another_process_makes_the_same_batches(digits_cache):
    """A batch does not depend on the process, its hash seed or its earlier work."""
    packed = open_packed({"name": "digits", "size": 8}, cache=digits_cache)
    source = TrainBatches(
        packed,
        np.arange(200),
        batch_size=64,
        seed=5,
        augment="crop-flip",
        padding=1,
        normalize="dataset",
        device="cpu",
    )
    digest = hashlib.sha256()
    for x, y in source.epoch(3):
        digest.update(x.numpy().tobytes() + y.numpy().tobytes())

    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(digits_cache)], capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == digest.hexdigest()


def test_packed_images_are_not_copied(digits_cache):
    """All workers of a machine share one copy in the page cache."""
    packed = prepare({"name": "digits", "size": 8}, cache=digits_cache)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = resident(packed.train_images, "cpu")

    assert tensor.data_ptr() == packed.train_images.ctypes.data


def test_no_batch_waits_for_its_device():
    """On the meta device any step that had to look at a value would raise, as on a GPU it would wait."""
    source = TrainBatches(
        PACKED,
        np.arange(40),
        batch_size=8,
        seed=1,
        augment="crop-flip",
        padding=2,
        normalize="dataset",
        device="meta",
    )
    evaluation = evaluation_batches(
        IMAGES, np.arange(40), PACKED, batch_size=8, normalize="dataset", device="meta"
    )

    for x, y in [*source.epoch(0), *evaluation]:
        assert (x.device.type, y.device.type, x.shape) == ("meta", "meta", (8, 3, 7, 6))


def test_evaluation_keeps_the_order_and_the_last_image():
    """Every image counts once, also where the last batch holds one only."""
    pairs = list(
        evaluation_batches(IMAGES[:17], np.arange(17), PACKED, batch_size=8, normalize="none", device="cpu")
    )

    assert [len(y) for _, y in pairs] == [8, 8, 1]
    assert torch.cat([y for _, y in pairs]).tolist() == list(range(17))
    back = (torch.cat([x for x, _ in pairs]) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    assert (back.numpy() == IMAGES[:17]).all()


def test_evaluation_takes_tensors_that_are_resident_already():
    """On a GPU the test set is moved once, not at each epoch."""
    pixels, classes = resident(IMAGES, "cpu"), resident(np.arange(40), "cpu")

    x, y = next(evaluation_batches(pixels, classes, PACKED, batch_size=40, normalize="dataset", device="cpu"))

    assert y.data_ptr() == classes.data_ptr()
    torch.testing.assert_close(
        x.mean((0, 2, 3)),
        torch.tensor(
            [(IMAGES[..., c].mean() / 255 - PACKED.mean[c]) / PACKED.std[c] for c in range(3)],
            dtype=torch.float32,
        ),
        rtol=0,
        atol=1e-5,
    )


def test_constant_channel_becomes_zero():
    """A channel without spread must not divide by zero."""
    packed = packed_of(np.full((4, 3, 3, 1), 51, np.uint8))
    flat = Packed(**{**vars(packed), "mean": (0.2,), "std": (0.0,)})

    x, _ = next(batches(flat, batch_size=4, augment="none").epoch(0))

    torch.testing.assert_close(x, torch.zeros(4, 1, 3, 3), rtol=0, atol=1e-7)


def test_values_without_normalization_run_from_zero_to_one():
    """Exactly: 255 is 1.0, not one rounding above it."""
    packed = packed_of(np.array([0, 255, 0, 255], np.uint8).reshape(4, 1, 1, 1))

    x, _ = next(batches(packed, batch_size=4, augment="none", normalize="none").epoch(0))

    assert sorted(x.flatten().tolist()) == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("indices", [np.array([1]), np.array([], int), np.array([0, 40]), np.array([-1, 3])])
def test_indices_that_make_no_batch_are_refused(indices):
    """A training without a step is a mistake in the file."""
    with pytest.raises(DataError, match=r"train\.batch_size"):
        batches(indices=indices)


def test_mistaken_arguments_are_refused():
    """Each message names the allowed values."""
    with pytest.raises(DataError, match="another run"):
        batches().epoch(0, 6)
    with pytest.raises(UnknownNameError, match="dataset"):
        batches(normalize="datasets")
    with pytest.raises(DataError, match="batches of 0"):
        evaluation_batches(IMAGES, np.arange(40), PACKED, batch_size=0, normalize="none", device="cpu")
    with pytest.raises(DataError, match="39 labels"):
        evaluation_batches(IMAGES, np.arange(39), PACKED, batch_size=8, normalize="none", device="cpu")


TEXTS = Packed(
    train_images=np.random.default_rng(1).integers(0, 65_536, (40, 5), dtype=np.uint16),
    train_labels=np.arange(40) % 3,
    test_images=np.full((3, 5), 65_535, np.uint16),
    test_labels=np.arange(3),
    mean=(),
    std=(),
    class_names=("a", "b", "c"),
    name="texts",
    source="s",
    fingerprint="",
    folder=None,
    vocabulary=("<pad>", "<unk>"),
)


def test_text_batches_follow_the_order_of_the_epoch():
    """Up to the largest that 16 bits hold; neither scaled nor normalized."""
    x, y = epoch_of(batches(TEXTS, augment="none", normalize="none"), 2)

    order = epoch_order(1, 2, np.arange(40))
    assert x.dtype == torch.int64
    assert (x.numpy() == TEXTS.train_images[order]).all()
    assert (y.numpy() == TEXTS.train_labels[order]).all()
    [(tested, _)] = evaluation_batches(
        TEXTS.test_images, TEXTS.test_labels, TEXTS, batch_size=9, normalize="none", device="cpu"
    )
    assert (tested == 65_535).all()


def test_texts_are_not_augmented():
    """There is no border from which to cut one."""
    with pytest.raises(DataError, match=r"data\.augment"):
        batches(TEXTS, augment="crop")


def test_a_shift_moves_along_the_width_alone():
    """Earlier or later by at most the padding, the border zero, as the same crop would move it."""
    order = epoch_order(1, 3, np.arange(40))
    _, dx, _ = crop_flip(1, 3, order, padding=2, flip=False)

    x, _ = epoch_of(batches(augment="shift", normalize="none"), 3)

    padded = np.pad(IMAGES, ((0, 0), (0, 0), (2, 2), (0, 0)))
    for row, sample in enumerate(order):
        expected = padded[sample, :, dx[row] : dx[row] + 6] / np.float32(255)
        np.testing.assert_allclose(x[row].permute(1, 2, 0).numpy(), expected, atol=1e-7)
    assert len(set(dx.tolist())) == 5
