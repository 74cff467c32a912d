"""Axes have canonical values, an order, and distinct labels; numbers have exact text forms."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.report.axes import Axes, canonical, labels, ordered, spread_pick
from lthsweep.report.numbers import count, flag, interval, percent, percent_left, points, seconds, size, times


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        ("1", "1"),
        ("1.0", "1"),
        (0.1, "0.1"),
        ("500it", "500it"),
        (None, ""),
        (math.nan, ""),
        (pd.NA, ""),
        (" kaiming ", "kaiming"),
        (True, "true"),
        ("a\x00b", "a\ufffdb"),
    ],
)
def test_a_value_has_one_canonical_text(value, text):
    """Tickets and runs can hold the same value in different types."""
    assert canonical(value) == text


def test_rewind_epochs_are_in_training_order():
    """As text, "10" would come before "2"."""
    assert ordered(["10", "500it", "2", "0.5", "100it", "", "2"]) == ["0.5", "2", "10", "100it", "500it"]
    assert ordered(["2", "500it", "0", "100it"], steps_per_epoch=391) == ["0", "100it", "500it", "2"]


def test_labels_of_fractions_are_not_whole_numbers():
    """A network with one weight in a million is not empty: sparsity 0.999999 is not 1."""
    assert labels(["0.999999"]) == {"0.999999": "0.999999"}
    assert labels(["0.00001", "0"]) == {"0.00001": "1e-05", "0": "0"}
    assert labels(["1.00001"]) == {"1.00001": "1.00001"}


def test_a_few_weights_left_are_not_zero_percent():
    """The digits follow the value where one digit would be 0."""
    assert [percent_left(value) for value in (0.2, 0.0004, 1e-6, 0.0, None)] == [
        "20.0",
        "0.04",
        "0.0001",
        "0.0",
        "–",
    ]


def test_labels_are_short_but_distinct():
    """Levels of 1 − 0.8^n have twelve digits; four suffice until two levels agree in them."""
    assert labels(["0.67232", "0.5"]) == {"0.67232": "0.6723", "0.5": "0.5"}
    assert labels(["0.99991", "0.99992"]) == {"0.99991": "0.99991", "0.99992": "0.99992"}


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False).map(canonical), unique=True))
def test_labels_never_merge_two_values(values):
    """Two rows of a heatmap must not share a label."""
    assert len(set(labels(values).values())) == len(values)


@given(st.lists(st.integers().map(str), unique=True, max_size=30), st.integers(1, 9))
def test_spread_pick_keeps_order_and_ends(values, limit):
    """A figure that shows some lines includes the extremes."""
    chosen = spread_pick(values, limit)

    assert len(chosen) == min(len(values), limit)
    assert sorted(chosen, key=values.index) == chosen
    if values and limit > 1:
        assert (chosen[0], chosen[-1]) == (values[0], values[-1])


def test_axes_come_from_the_columns():
    """A threshold column without values does not make a threshold sweep."""
    columns = {"sparsity": [0.5], "rewind_epoch": ["0"], "model.init": ["a"], "n": [1]}

    assert Axes.of(pd.DataFrame(columns)) == Axes("sparsity", ("model.init",))
    assert Axes.of(pd.DataFrame({**columns, "threshold": [math.nan]})).cut == "sparsity"
    assert Axes.of(pd.DataFrame({**columns, "threshold": [0.1]})).cut == "threshold"


def test_number_formats_are_exact():
    """Published tables use these forms."""
    assert (percent(0.96432), percent(None), percent(math.inf)) == ("96.43", "–", "–")
    assert (points(-0.0043), points(0.0043), points(-0.00001)) == ("−0.43", "+0.43", "0.00")
    assert (interval(-0.01, 0.002), interval(math.nan, 0.1)) == ("[−1.00, +0.20]", "")
    assert (times(2), times(9.96), times(51.3)) == ("2.0×", "10×", "51×")
    assert (count(999), count(2_236_682), count(math.nan)) == ("999", "2.24 M", "–")
    assert size(8_946_728) == "8.53 MiB"
    assert (seconds(4.25), seconds(150), seconds(9000)) == ("4.2 s", "2.5 min", "2.5 h")


@pytest.mark.parametrize(
    ("value", "truth"),
    [(True, True), (0, False), ("false", False), ("", None), (pd.NA, None), (math.nan, None)],
)
def test_a_flag_can_be_unknown(value, truth):
    """A missing ticket has neither passed nor failed its audit."""
    assert flag(value) is truth


def test_the_text_of_the_file_names_a_rewind_point():
    """The table has epochs, so that it sorts; a reader looks for what the file has."""
    frame = pd.DataFrame(
        {"sparsity": [0.5] * 3, "rewind_epoch": [0.0, 1.5, 2.0], "rewind_point": ["0", "15it", "2"]}
    )

    assert Axes.of(frame).normalize(frame)["rewind_epoch"].tolist() == ["0", "15it", "2"]
