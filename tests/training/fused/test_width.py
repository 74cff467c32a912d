"""How many trainings a device takes as one: measured until a wider ensemble no longer pays."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.training.fused.ensemble import Ensemble
from lthsweep.training.fused.width import best_width, measured_width, seconds_per_step
from lthsweep.training.state import Training
from tests.training.cases import (
    assert_same_state,
    convolutional,
    data_of,
    half_masks,
    state_of,
    train_options,
)


def asked(seconds):
    """A device by its seconds per step, and the widths that were measured."""
    widths = []

    def seconds_of(width):
        widths.append(width)
        return seconds(width)

    return seconds_of, widths


def test_busy_device_takes_one():
    """Twice the time for two: as on a CPU."""
    seconds_of, widths = asked(lambda width: width * 0.1)

    assert best_width(seconds_of) == 1
    assert widths == [1, 2]


def test_idle_device_is_filled():
    """A step takes as long as its launches, until there is more to compute than that."""
    seconds_of, widths = asked(lambda width: max(0.001, width * 0.001 / 16))

    assert best_width(seconds_of) == 16
    assert widths == [1, 2, 4, 8, 16, 32]


def test_stop_request_ends_the_search(packed):
    """Each measurement takes seconds, and a worker that does not stop in time is killed."""
    training = Training(convolutional(), data_of(packed), train_options(), seed=0)
    answers = iter([False, True])

    assert measured_width(training, stop=lambda: next(answers)) == 1


def test_other_memory_errors_of_libraries_end_the_search(packed, monkeypatch, capfd):
    """cuBLAS and cuDNN raise no OutOfMemoryError. For a single training it is an error."""
    training = Training(convolutional(), data_of(packed), train_options(), seed=0)

    def full(*batch):
        raise RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")

    monkeypatch.setattr(Ensemble, "step_function", lambda ensemble: full)

    assert seconds_per_step(training, 2) is None
    assert "2 runs cannot be fused here: CUBLAS_STATUS_ALLOC_FAILED" in capfd.readouterr().out
    with pytest.raises(RuntimeError):
        seconds_per_step(training, 1)


def test_evaluation_must_fit_into_memory(packed, monkeypatch):
    """Otherwise the error would come after a whole epoch."""
    training = Training(convolutional(), data_of(packed), train_options(), seed=0)

    def full(*arguments):
        raise torch.OutOfMemoryError("40 GiB")

    monkeypatch.setattr(Ensemble, "scores", full)

    assert seconds_per_step(training, 2) is None


def test_memory_is_an_end():
    """The widest that fitted is taken."""
    seconds_of, widths = asked(lambda width: None if width > 4 else 0.001)

    assert best_width(seconds_of) == 4
    assert widths == [1, 2, 4, 8]


def test_if_not_even_one_fits_it_is_one():
    """The training itself then reports the error."""
    assert best_width(lambda width: None) == 1


@given(st.integers(1, 300))
def test_no_more_than_the_most_are_tried(most):
    """There can be fewer tickets than places."""
    seconds_of, widths = asked(lambda width: 0.001)

    assert best_width(seconds_of, most) <= most
    assert max(widths) <= most


@given(
    st.dictionaries(st.sampled_from([1, 2, 4, 8, 16]), st.floats(1e-4, 1.0), min_size=5, max_size=5),
    st.sampled_from([1, 2, 4, 8, 16]),
)
def test_chosen_width_beats_every_narrower_one(seconds, most):
    """And each doubling on the way to it gave 5 %."""
    width = best_width(seconds.__getitem__, most)

    rates = [tried / seconds[tried] for tried in (1, 2, 4, 8, 16) if tried <= width]
    assert all(later >= earlier * 1.05 for earlier, later in itertools.pairwise(rates))


def test_measuring_touches_neither_the_training_nor_random_numbers(packed):
    """It is measured during a sweep, on a ticket that is trained afterward."""
    model = convolutional(dropout=0.3)
    training = Training(model, data_of(packed), train_options("adam"), seed=0, masks=half_masks(model))
    before, generator = state_of(training), torch.get_rng_state()

    seconds = seconds_per_step(training, 2)

    assert seconds is not None
    assert seconds > 0
    assert_same_state(state_of(training), before)
    assert torch.equal(torch.get_rng_state(), generator)
    assert measured_width(training, 1) == 1


def test_no_memory_is_no_time(packed, monkeypatch):
    """The error of any device."""

    def full(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    model = convolutional()
    training = Training(model, data_of(packed), train_options(), seed=0)
    monkeypatch.setattr(Ensemble, "step_function", lambda ensemble: full)

    assert seconds_per_step(training, 2) is None


@pytest.mark.parametrize("width", [1, 3])
def test_width_can_be_any_number(packed, width):
    """A ensemble is as wide as there are tickets."""
    training = Training(convolutional(), data_of(packed), train_options(), seed=0)

    assert seconds_per_step(training, width)
