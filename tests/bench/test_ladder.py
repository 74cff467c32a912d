"""The benchmark runs, counts what it should, and its programs agree. How long anything takes is nowhere asserted."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import struct

import numpy as np
import pytest
import torch

from lthsweep.bench import naive
from lthsweep.bench.__main__ import main as measure
from lthsweep.bench.bound import bound_of
from lthsweep.bench.cases import CASES, case_of, tables_of
from lthsweep.bench.conditions import Busy, conditions
from lthsweep.bench.images import made_up, pack_images
from lthsweep.bench.measure import bench
from lthsweep.bench.naive import Habits, NestedLoop
from lthsweep.bench.probes import POOL
from lthsweep.bench.rungs import LADDER, climb, plan_of
from lthsweep.bench.sharing import mapped
from lthsweep.bench.spread import spread
from lthsweep.bench.table import markdown
from lthsweep.data.pack import open_packed, prepare
from lthsweep.errors import LaunchError, UnknownNameError
from lthsweep.lottery.context import TrainingContext
from lthsweep.plan.cost import cost_of
from lthsweep.plan.grid import expand
from lthsweep.spec import load_spec, spec_of
from tests.bench import ladder
from tests.bench.ladder import documented


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """The tiny cases' images, made up: no files of this machine decide what is tested."""
    root = tmp_path_factory.mktemp("no-data")
    found = {}
    for name, case in CASES["tiny"].items():
        cache = tmp_path_factory.mktemp(name)
        found[name] = cache, pack_images(case, cache, root)
    return found


@pytest.fixture(scope="module")
def loop_of(caches):
    """A nested loop over a tiny grid that has answered all cells, and its answers; each run once."""
    return functools.cache(lambda name, **habits: _loop_of(caches, name, Habits(**habits)))


def _loop_of(caches, name, habits):
    case = case_of("tiny", name)
    plan = plan_of(case)
    recipe = plan.dense[0].recipe
    packed = open_packed(recipe.data, cache=caches[name][0])
    material = TrainingContext.of(recipe.to_dict(), packed, torch.device("cpu"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # other tests run beside this one
    loop = NestedLoop(plan, material, habits)
    try:
        return loop, [loop.answer(cell) for cell in plan.cells]
    finally:
        torch.set_num_threads(threads)


def test_images_are_made_up_where_there_are_none(caches):
    """The benchmark runs on a machine without MNIST and CIFAR-10, and says that it did."""
    sources = {name: source for name, (_, source) in caches.items()}

    assert sources == {
        "lenet": "generated, 28x28x1",
        "resnet20": "generated, 32x32x3",
        "mobilenet_v2": "digits",
    }


def test_made_up_images_are_the_same_everywhere_and_can_be_learned():
    """Each is nearer to the mean of its own class than to most others."""
    first, again = made_up((200, 20), (28, 28, 1)), made_up((200, 20), (28, 28, 1))

    assert np.array_equal(first.train_images, again.train_images)
    flat = first.train_images.reshape(200, -1).astype(float)
    means = np.stack([flat[first.train_labels == label].mean(0) for label in range(10)])
    nearest = ((flat[:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == first.train_labels).mean() > 0.9


def test_real_images_are_used_where_they_are(tmp_path):
    """The first of MNIST's, packed under its name into the benchmark's own folder."""
    root = tmp_path / "root"
    root.mkdir()
    draw = np.random.default_rng(0)
    for stem, count in (("train", 30), ("t10k", 10)):
        images = draw.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        header = struct.pack(">HBB3I", 0, 8, 3, count, 28, 28)
        (root / f"{stem}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        labels = draw.integers(0, 10, count, dtype=np.uint8)
        (root / f"{stem}-labels-idx1-ubyte").write_bytes(
            struct.pack(">HBBI", 0, 8, 1, count) + labels.tobytes()
        )
    case = dataclasses.replace(case_of("tiny", "lenet"), images=(20, 5))

    source = pack_images(case, tmp_path / "cache", root)

    assert source == "mnist"
    packed = open_packed(dict(case.data), cache=tmp_path / "cache")
    whole = prepare(dict(case.data), root=root, cache=tmp_path / "other")
    assert np.array_equal(packed.train_images, whole.train_images[:20])


@pytest.mark.parametrize("name", CASES["tiny"])
def test_the_naive_loop_trains_the_epochs_that_the_plan_counts(loop_of, name):
    """`plan` promises a saving over this very loop."""
    loop, _ = loop_of(name)

    assert loop.epochs == cost_of(loop.plan).epochs_naive


@pytest.mark.parametrize("name", CASES["tiny"])
def test_sharing_saves_epochs_and_changes_no_answer(loop_of, name):
    """A trunk, or a level, that is trained once is what it would have been every time."""
    naive_loop, alone = loop_of(name)
    loop, shared = loop_of(name, shared_trunk=True, shared_chains=True)

    assert shared == alone
    assert loop.epochs == cost_of(loop.plan).epochs < naive_loop.epochs


def test_the_naive_loop_and_our_sweep_agree(caches, loop_of, tmp_path):
    """Same weights, batches, masks and schedule: on LeNet, which draws no augmentation, the same accuracies."""
    case = case_of("tiny", "lenet")
    _, alone = loop_of("lenet")

    done = climb(case, LADDER["ours"], caches["lenet"][0], tmp_path / "ours")

    _, images = case.images
    both = zip(done.accuracies.values(), alone, strict=True)
    assert max(abs(round(images * (ours - theirs))) for ours, theirs in both) <= 1  # of the test images
    assert done.epochs == cost_of(plan_of(case)).epochs
    assert done.cells == len(alone)


def test_a_program_that_fails_says_why(tmp_path):
    """Its last words are the message."""
    with pytest.raises(LaunchError, match="is not packed"):
        climb(case_of("tiny", "lenet"), LADDER["naive"], tmp_path / "empty", tmp_path / "climb")


def test_a_naive_request_may_name_a_part_of_the_cells(caches, tmp_path, capsys):
    """So that a long loop can be measured in turns with a short one."""
    case = case_of("tiny", "lenet")
    request = {"tables": tables_of(case), "cache": str(caches["lenet"][0]), "habits": {}, "cells": [1, 2]}
    path = tmp_path / "request.json"
    path.write_text(json.dumps(request))

    naive.main([str(path)])

    answer = json.loads(capsys.readouterr().out)
    assert list(answer["accuracies"]) == [plan_of(case).cells[1].run]
    assert answer["epochs"] == 3  # dense from 0 to 2, ticket from 1 to 2


def test_the_bound_is_the_larger_of_work_and_chain():
    """Two workers: half of the work, unless one chain is longer."""
    plan = plan_of(dataclasses.replace(case_of("tiny", "lenet"), sparsities=(0.5, 0.8), rewinds=(0,)))
    trunk, first, second = plan.runs

    assert bound_of(plan, {trunk: 2.0, first: 3.0, second: 4.0}, 1) == 9.0
    assert bound_of(plan, {trunk: 2.0, first: 3.0, second: 4.0}, 2) == 6.0


def test_the_pool_is_measured_on_the_demo():
    """The figures of the full benchmark are about the sweep that `make demo` runs."""
    ours, demo = expand(spec_of(dict(POOL["full"]))), expand(load_spec("digits-mobilenetv2"))

    assert ours.runs.keys() == demo.runs.keys()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--repeats", "0"), "invalid whole number >= 1 value: '0'"),
        (("--out", "/nowhere/bench.json"), "/nowhere/bench.json cannot be written; name a file"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_measured(words, said, capsys):
    with pytest.raises(SystemExit) as refusal:
        measure([*words, "--size", "full"])

    assert refusal.value.code == 2
    assert said in capsys.readouterr().err


def test_figures_that_are_none_are_refused(tmp_path):
    """As those of the GPU's benchmark, or a name that was mistyped."""
    other = tmp_path / "gpu.json"
    other.write_text('{"conditions": {}}')

    for file in (other, tmp_path / "absent.json"):
        with pytest.raises(SystemExit, match="holds no figures of `make bench`"):
            ladder.write_page([file])


def test_spread_keeps_every_value():
    """A median without its spread says nothing."""
    assert spread(iter([3.0, 1.0, 2.0])) == {
        "median": 2.0,
        "low": 1.0,
        "high": 3.0,
        "values": [3.0, 1.0, 2.0],
    }


def test_a_mapped_file_counts_in_full_and_shared(tmp_path):
    """This process alone maps it, so it pays all of it."""
    path = tmp_path / "pixels.npy"
    np.save(path, np.ones((100, 4096), np.uint8))
    array = np.load(path, mmap_mode="c")
    assert array.sum() == 100 * 4096

    found = mapped("pixels.npy")

    assert found["resident"] >= 100 * 4096
    assert found["proportional"] <= found["resident"]


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="needs Linux")  # noqa: PTH110
def test_foreign_work_is_a_share():
    """0 if the machine was ours, 1 if it was never."""
    share = Busy().others()

    assert share is None or share >= 0


def test_an_unknown_case_is_named_with_those_there_are():
    """Like every other name."""
    with pytest.raises(UnknownNameError, match="resnet20"):
        case_of("quick", "resnet21")


def test_tables_go_between_the_markers():
    """What else the page says is written by people."""
    page = "a\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nb\n"

    assert documented(page, "new\n") == "a\n<!-- bench:begin -->\n\nnew\n\n<!-- bench:end -->\nb\n"
    with pytest.raises(ValueError, match="markers"):
        documented("nothing", "new")


def test_figures_of_several_files_go_into_the_page(monkeypatch, tmp_path):
    """Parts may be measured one by one, when the machine is quiet."""
    page, figures = tmp_path / "page.md", tmp_path / "some.json"
    page.write_text("<!-- bench:begin -->\n<!-- bench:end -->\n")
    figures.write_text(json.dumps({"size": "tiny", "repeats": 1, "conditions": conditions(Busy())}))
    monkeypatch.setattr(ladder, "PAGE", page)

    ladder.main(["--from", str(figures), str(figures)])

    assert page.read_text().count("size `tiny`") == 2


@pytest.mark.heavy
def test_the_whole_benchmark_runs_and_says_what_it_promises(monkeypatch, tmp_path):
    """Every part at the smallest size, and the fields that readers of bench.json rely on."""
    monkeypatch.setenv("LTHSWEEP_DATA", str(tmp_path))
    heard = []

    found = bench("tiny", only=("lenet", "epoch", "loop", "pool", "memory"), tell=heard.append)

    assert json.loads(json.dumps(found)) == found
    ratios = (
        found["lenet"]["ratio"],
        found["lenet_bf16"]["ratio"],
        found["loop"]["bare_ratio"],
        found["pool"]["bound_ratio"],
    )
    assert all(ratio["low"] <= ratio["median"] <= ratio["high"] for ratio in ratios)
    rungs = found["lenet"]["rungs"]
    plan = plan_of(case_of("tiny", "lenet"))
    assert rungs["naive"]["epochs"] == cost_of(plan).epochs_naive
    assert rungs["ours"]["epochs"] == cost_of(plan).epochs
    assert rungs["ours"]["agreement"]["cells"] == found["lenet"]["naive_cells"] == len(plan.cells) / 2
    assert rungs["loaders"]["epochs"] == rungs["naive"]["epochs"]
    assert rungs["resident"]["agreement"]["equal"] == len(plan.cells) / 2
    assert found["epoch"]["ratio"]["values"]
    assert found["memory"]["shared"]["copies"] < 1.5
    assert found["conditions"]["cores"] >= 1
    assert {"load_average", "others_share"} <= found["conditions"].keys()
    assert len(heard) == 7 + 3 + 2 + 1 + 1  # seven rungs: one-shot pruning has no chains
    text = markdown(found)
    assert "naive nested loop" in text
    assert "generated, 28x28x1" in text
    assert "seconds per epoch" in text
