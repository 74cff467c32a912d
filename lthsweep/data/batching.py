"""Batches for training and evaluation from resident images or texts, the same in every process.

All images lie in one uint8 tensor: on a CPU the mapped pack itself, on a GPU one copy. A batch is a gather of rows, a
gather of pixels (crop and flip in one), and one multiply-add to float; nothing waits for the device. On a GPU the
batches of several steps are made at once. Texts stay token numbers: their batches are gathers of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lthsweep.data.augment import augment as augment_named
from lthsweep.data.augment import crop_flip
from lthsweep.data.decoded import SampleArray
from lthsweep.data.order import epoch_order, steps_per_epoch
from lthsweep.data.packed import Packed
from lthsweep.errors import DataError, UnknownNameError

__all__ = ["LabeledBatch", "TrainBatches", "evaluation_batches", "resident"]

LabeledBatch = tuple[Tensor, Tensor]
"""Inputs (images float32 [B, C, H, W], texts int64 [B, L]) and labels int64 [B], on one device."""

_LEVELS = 255

_AHEAD_BYTES = 32 << 20
"""Bytes of batches that a GPU makes at once: launching some twenty small kernels per batch would take longer than a
step of a small network. A CPU makes each batch when it is needed, while its pixels are in the cache."""


class TrainBatches:
    """The training batches of one run: a pure function of (seed, epoch, step).

    The augmentation of a sample depends on (seed, epoch, sample) alone; batch size and starting step only cut the
    epoch's sequence differently.

    Attributes:
        steps: number of steps of an epoch.
        ahead: number of steps whose batches are made at once; it does not change the batches.
    """

    def __init__(
        self,
        packed: Packed,
        indices: NDArray[np.int64],
        *,
        batch_size: int,
        seed: int,
        augment: str,
        padding: int,
        normalize: str,
        device: torch.device | str,
    ) -> None:
        """Copy the images to the device.

        Args:
            packed: the data set.
            indices: int64, the training samples to use (without those held out).
            batch_size: samples per step; samples after the last full batch of an epoch are not used.
            seed: of order and augmentation.
            augment: a name of `augment.AUGMENTS`; "none" for texts.
            padding: width in pixels of the border of zeros from which a crop is cut.
            normalize: "dataset" (mean 0, variance 1 per channel over the training images) or "none" (0..1).
            device: of the batches.

        Raises:
            UnknownNameError: if `augment` or `normalize` is unknown.
            DataError: if there are too few samples for one step, an index is out of range, or texts would be augmented.
        """
        self._indices = np.asarray(indices, np.int64)
        count = len(packed.train_images)
        self.steps = steps_per_epoch(len(self._indices), batch_size)
        if self.steps == 0 or self._indices.min() < 0 or self._indices.max() >= count:
            raise DataError(
                f"{len(self._indices)} training samples out of {count} of {packed.name} do not make a batch of "
                f"{batch_size}; lower train.batch_size or data.validation"
            )
        self._batch_size = batch_size
        self._seed = seed
        self._augment = augment_named(augment)
        if packed.vocabulary and augment != "none":
            raise DataError(
                f'data.augment = "{augment}" is for images, and {packed.name} holds texts; set it to "none"'
            )
        self._padding = padding if self._augment.crop else 0
        self._device = torch.device(device)
        self._images = resident(packed.train_images, self._device)
        self._labels = resident(packed.train_labels, self._device)
        self._to_input = _to_input(packed, normalize, self._device)
        step_bytes = batch_size * self._images[0].numel() * 4
        self.ahead = 1 if self._device.type == "cpu" else max(1, _AHEAD_BYTES // step_bytes)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[LabeledBatch]:
        """The batches of one epoch, from `start_step` on.

        Args:
            epoch: from 0.
            start_step: steps of this epoch that are already done, 0..steps.

        Returns:
            (x, y) pairs: x float32 [B, C, H, W] in channels_last memory, for texts int64 [B, L]; y int64 [B]; both on
            the device, and never overwritten.

        Raises:
            DataError: if `start_step` is out of range.
        """
        if not 0 <= start_step <= self.steps:
            raise DataError(
                f"step {start_step} of an epoch of {self.steps} steps: the checkpoint belongs to another run"
            )
        return self._batches(epoch, start_step)

    def _batches(self, epoch: int, start_step: int) -> Iterator[LabeledBatch]:
        order = epoch_order(self._seed, epoch, self._indices)
        samples = _move(order, self._device)
        moves: tuple[Tensor, ...] | None = None
        if self._padding or self._augment.flip:
            down, across, mirrored = crop_flip(
                self._seed, epoch, order, padding=self._padding, flip=self._augment.flip
            )
            if self._augment.along:
                down = np.full_like(down, self._padding)  # no shift along the height
            moves = (_move(down, self._device), _move(across, self._device), _move(mirrored, self._device))
        for first in range(start_step, self.steps, self.ahead):
            end = min(first + self.ahead, self.steps)
            part = slice(first * self._batch_size, end * self._batch_size)
            chosen = samples[part]
            pixels = self._images.index_select(0, chosen)
            if moves is not None:
                dy, dx, flips = (move[part] for move in moves)
                pixels = _crop_and_flip(pixels, dy, dx, flips, self._padding)
            inputs, labels = self._to_input(pixels), self._labels.index_select(0, chosen)
            for row in range(0, len(labels), self._batch_size):
                batch = slice(row, row + self._batch_size)
                yield inputs[batch], labels[batch]


def evaluation_batches(
    images: SampleArray | Tensor,
    labels: NDArray[np.int64] | Tensor,
    packed: Packed,
    *,
    batch_size: int,
    normalize: str,
    device: torch.device | str,
) -> Iterator[LabeledBatch]:
    """Return all of `images` in order, not augmented; the last batch can be smaller, down to one image.

    For frequent evaluation on a GPU, pass tensors from `resident`, which are not copied again.

    Args:
        images: uint8 [N, H, W, C], or uint16 [N, L] for texts.
        labels: int64 [N].
        packed: the data set, for its mean and standard deviation.
        batch_size: 1 or more.
        normalize: as for `TrainBatches`.
        device: of the batches.

    Returns:
        (x, y) as from `TrainBatches.epoch`.

    Raises:
        UnknownNameError: if `normalize` is unknown.
        DataError: if `batch_size` is below 1 or images and labels differ in number.
    """
    if batch_size < 1 or len(images) != len(labels):
        raise DataError(
            f"cannot evaluate {len(images)} images with {len(labels)} labels in batches of {batch_size}"
        )
    target = torch.device(device)
    pixels, classes = resident(images, target), resident(labels, target)
    to_input = _to_input(packed, normalize, target)
    return (
        (to_input(pixels[start : start + batch_size]), classes[start : start + batch_size])
        for start in range(0, len(pixels), batch_size)
    )


def resident(array: SampleArray | NDArray[np.int64] | Tensor, device: torch.device | str) -> Tensor:
    """Return the array as a tensor on the device; on a CPU in the same memory, mapped or not.

    On other devices uint16 becomes int32, because few GPU kernels support uint16.
    """
    if isinstance(array, Tensor):
        return array.to(device)
    plain = np.ascontiguousarray(array)
    if plain.dtype == np.uint16 and torch.device(device).type != "cpu":
        plain = plain.astype(np.int32)
    return torch.from_numpy(plain if plain.flags.writeable else plain.copy()).to(device)


def _to_input(packed: Packed, normalize: str, device: torch.device) -> Callable[[Tensor], Tensor]:
    """The function that turns a batch of packed samples into a network's input."""
    if normalize not in ("dataset", "none"):
        raise UnknownNameError.of("normalization", normalize, known=("dataset", "none"))
    return _to_numbers if packed.vocabulary else _ToFloat(packed, normalize, device)


def _to_numbers(tokens: Tensor) -> Tensor:
    return tokens.to(torch.int64)


class _ToFloat:
    """uint8 NHWC → float32 NCHW in channels_last memory, scaled to 0..1 and normalized on request."""

    def __init__(self, packed: Packed, normalize: str, device: torch.device) -> None:
        _, height, width = packed.shape
        # One value per byte of an image, not per channel: the inner loop is then long enough for vector units (4x).
        self._scale: Tensor | None = None
        self._shift: Tensor | None = None
        if normalize == "dataset":
            spread = [std if std > 0 else 1.0 for std in packed.std]  # a constant channel stays at zero
            scale = torch.tensor([1 / (_LEVELS * std) for std in spread], dtype=torch.float32)
            shift = torch.tensor(
                [-mean / std for mean, std in zip(packed.mean, spread, strict=True)], dtype=torch.float32
            )
            self._scale = scale.repeat(height * width).to(device)
            self._shift = shift.repeat(height * width).to(device)

    def __call__(self, pixels: Tensor) -> Tensor:
        values = pixels.reshape(len(pixels), -1).to(torch.float32)
        if self._scale is None or self._shift is None:
            values.div_(_LEVELS)
        else:
            values.mul_(self._scale).add_(self._shift)
        return values.view(pixels.shape).permute(0, 3, 1, 2)


def _crop_and_flip(pixels: Tensor, dy: Tensor, dx: Tensor, flips: Tensor, padding: int) -> Tensor:
    """Pad with zeros, cut [H, W] at (dy, dx) and mirror where `flips`, as one gather of pixels."""
    batch, height, width, channels = pixels.shape
    tall, wide = height + 2 * padding, width + 2 * padding
    if padding:
        padded = pixels.new_zeros((batch, tall, wide, channels))
        padded[:, padding : padding + height, padding : padding + width] = pixels
    else:
        padded = pixels
    across = torch.arange(width, device=pixels.device)
    columns = torch.where(flips[:, None], width - 1 - across, across) + dx[:, None]
    lines = torch.arange(batch, device=pixels.device)[:, None] * tall + dy[:, None]
    rows = (lines + torch.arange(height, device=pixels.device)) * wide
    flat = (rows[:, :, None] + columns[:, None, :]).view(-1)
    return padded.view(-1, channels).index_select(0, flat).view(batch, height, width, channels)


def _move(array: NDArray[np.int64] | NDArray[np.bool_], device: torch.device) -> Tensor:
    """Return a per-epoch array on the device; pinned first on a GPU, so that the copy does not wait.

    The pinned memory can be released at once: torch's allocator does not reuse it before the copy has ended.
    """
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
