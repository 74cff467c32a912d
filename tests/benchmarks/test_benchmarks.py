"""The benchmark runs, counts epochs correctly, and its programs agree. No test checks a duration."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import struct

import numpy as np
import pytest
import torch

from lthsweep.data.cache import open_packed, prepare
from lthsweep.data.datasets import DATASETS
from lthsweep.errors import LaunchError, UnknownNameError
from lthsweep.lottery.context import TrainingContext
from lthsweep.plan.estimate import cost_of
from lthsweep.plan.expand import expand
from lthsweep.spec import load_spec, spec_of
from tests.benchmarks import __main__ as command
from tests.benchmarks import baseline
from tests.benchmarks.baseline import BaselineOptions, NestedLoop
from tests.benchmarks.bound import bound_of
from tests.benchmarks.cases import CASES, POOL, case_of, tables_of
from tests.benchmarks.figures import Busy, conditions, spread
from tests.benchmarks.grids import STEPS, plan_of, time_step
from tests.benchmarks.images import generated, pack_images
from tests.benchmarks.measure import measure
from tests.benchmarks.table import markdown
from tests.benchmarks.workloads import mapped


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """Generated images of the tiny cases, independent of the data on this machine."""
    root = tmp_path_factory.mktemp("no-data")
    found = {}
    for name, case in CASES["tiny"].items():
        cache = tmp_path_factory.mktemp(name)
        found[name] = cache, pack_images(case, cache, root)
    return found


@pytest.fixture(scope="module")
def loop_of(caches):
    """A nested loop over a tiny grid and its accuracies; each combination runs once."""
    return functools.cache(lambda name, **options: _loop_of(caches, name, BaselineOptions(**options)))


def _loop_of(caches, name, options):
    case = case_of("tiny", name)
    plan = plan_of(case)
    recipe = plan.dense[0].recipe
    packed = open_packed(recipe.data, cache=caches[name][0])
    material = TrainingContext.of(recipe.to_dict(), packed, torch.device("cpu"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # other tests run at the same time
    loop = NestedLoop(plan, material, options)
    try:
        return loop, [loop.answer(cell) for cell in plan.cells]
    finally:
        torch.set_num_threads(threads)


def test_missing_images_are_generated(caches):
    """The benchmark runs without MNIST and CIFAR-10 and reports the source of its images."""
    sources = {name: source for name, (_, source) in caches.items()}

    assert sources == {
        "lenet": "generated, 28x28x1",
        "resnet20": "generated, 32x32x3",
        "mobilenet_v2": "digits",
    }


def test_generated_images_are_reproducible_and_learnable():
    """Most images are nearest to the mean of their class."""
    first, again = generated((200, 20), (28, 28, 1)), generated((200, 20), (28, 28, 1))

    assert np.array_equal(first.train_images, again.train_images)
    flat = first.train_images.reshape(200, -1).astype(float)
    means = np.stack([flat[first.train_labels == label].mean(0) for label in range(10)])
    nearest = ((flat[:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == first.train_labels).mean() > 0.9


def _unpacked(file):
    """The file without a checksum of its unpacked content, so that any content is accepted."""
    return dataclasses.replace(file, unpacked_md5=None)


def test_real_images_are_preferred(tmp_path, monkeypatch):
    """The first images of MNIST are packed into the benchmark's folder."""
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
    unpacked = dataclasses.replace(DATASETS["mnist"], files=tuple(map(_unpacked, DATASETS["mnist"].files)))
    monkeypatch.setitem(DATASETS, "mnist", unpacked)

    source = pack_images(case, tmp_path / "cache", root)

    assert source == "mnist"
    packed = open_packed(dict(case.data), cache=tmp_path / "cache")
    whole = prepare(dict(case.data), root=root, cache=tmp_path / "other")
    assert np.array_equal(packed.train_images, whole.train_images[:20])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES["tiny"])
def test_the_plan_counts_the_epochs_of_the_baseline(loop_of, name):
    """`plan` reports the saving against this loop."""
    loop, _ = loop_of(name)

    assert loop.epochs == cost_of(loop.plan).epochs_naive


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES["tiny"])
def test_sharing_saves_epochs_and_changes_no_accuracy(loop_of, name):
    """A dense run or level gives the same weights every time."""
    naive_loop, alone = loop_of(name)
    loop, shared = loop_of(name, shared_dense_run=True, shared_chains=True)

    assert shared == alone
    assert loop.epochs == cost_of(loop.plan).epochs < naive_loop.epochs


@pytest.mark.slow
def test_baseline_and_sweep_agree(caches, loop_of, tmp_path):
    """Same weights, batches, masks and schedule give the same accuracies for LeNet, which has no augmentation."""
    case = case_of("tiny", "lenet")
    _, alone = loop_of("lenet")

    done = time_step(case, STEPS["ours"], caches["lenet"][0], tmp_path / "ours")

    _, images = case.images
    both = zip(done.accuracies.values(), alone, strict=True)
    assert max(abs(round(images * (ours - theirs))) for ours, theirs in both) <= 1  # of the test images
    assert done.epochs == cost_of(plan_of(case)).epochs
    assert done.cells == len(alone)


@pytest.mark.slow
def test_the_error_contains_the_output_of_the_program(tmp_path):
    """The last lines of a failed program explain the failure."""
    with pytest.raises(LaunchError, match="is not packed"):
        time_step(case_of("tiny", "lenet"), STEPS["naive"], tmp_path / "empty", tmp_path / "step")


@pytest.mark.slow
def test_the_baseline_computes_a_part_of_the_cells(caches, tmp_path, capsys):
    """A long loop can take turns with a short one."""
    case = case_of("tiny", "lenet")
    request = {"tables": tables_of(case), "cache": str(caches["lenet"][0]), "options": {}, "cells": [1, 2]}
    path = tmp_path / "request.json"
    path.write_text(json.dumps(request))

    baseline.main([str(path)])

    answer = json.loads(capsys.readouterr().out)
    assert list(answer["accuracies"]) == [plan_of(case).cells[1].run]
    assert answer["epochs"] == 3  # dense from 0 to 2, ticket from 1 to 2


def test_the_bound_is_work_or_longest_chain():
    """With two workers: half of the work, or the longest chain."""
    plan = plan_of(dataclasses.replace(case_of("tiny", "lenet"), sparsities=(0.5, 0.8), rewinds=(0,)))
    dense_run, first, second = plan.runs

    assert bound_of(plan, {dense_run: 2.0, first: 3.0, second: 4.0}, 1) == 9.0
    assert bound_of(plan, {dense_run: 2.0, first: 3.0, second: 4.0}, 2) == 6.0


def test_the_full_pool_benchmark_is_the_demo():
    """The figures apply to the sweep of `make demo`."""
    ours, demo = expand(spec_of(dict(POOL["full"]))), expand(load_spec("digits-mobilenetv2"))

    assert ours.runs.keys() == demo.runs.keys()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--repeats", "0"), "--repeats: invalid whole number >= 1"),
        (("--out", "/nowhere/bench.json"), "/nowhere/bench.json"),
    ],
)
def test_wrong_options_are_refused_before_measuring(words, message, capsys):
    with pytest.raises(SystemExit) as refusal:
        command.main([*words, "--size", "full"])

    assert refusal.value.code == 2
    assert message in capsys.readouterr().err


def test_files_without_figures_are_refused(tmp_path):
    """For example figures of the GPU benchmark, or a misspelt name."""
    other = tmp_path / "gpu.json"
    other.write_text('{"conditions": {}}')

    for file in (other, tmp_path / "absent.json"):
        with pytest.raises(SystemExit, match="holds no figures of `make bench`"):
            command.write_page([file])


def test_spread_keeps_every_value():
    """A median without its spread is not meaningful."""
    assert spread(iter([3.0, 1.0, 2.0])) == {
        "median": 2.0,
        "low": 1.0,
        "high": 3.0,
        "values": [3.0, 1.0, 2.0],
    }


def test_a_mapped_file_has_resident_and_proportional_bytes(tmp_path):
    """Only this process maps the file, so both are equal at most."""
    path = tmp_path / "pixels.npy"
    np.save(path, np.ones((100, 4096), np.uint8))
    array = np.load(path, mmap_mode="c")
    assert array.sum() == 100 * 4096

    found = mapped("pixels.npy")

    assert found["resident"] >= 100 * 4096
    assert found["proportional"] <= found["resident"]


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="needs Linux")  # noqa: PTH110
def test_the_use_by_other_processes_is_a_share():
    """0 on an idle machine, 1 if other processes used all cores."""
    share = Busy().others()

    assert share is None or share >= 0


def test_an_unknown_case_lists_the_known_ones():
    """Like every other unknown name."""
    with pytest.raises(UnknownNameError, match="resnet20"):
        case_of("quick", "resnet21")


def test_tables_go_between_the_markers():
    """The rest of the page is written by hand."""
    page = "a\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nb\n"

    assert command.documented(page, "new\n") == "a\n<!-- bench:begin -->\n\nnew\n\n<!-- bench:end -->\nb\n"
    with pytest.raises(ValueError, match="markers"):
        command.documented("nothing", "new")


def test_figures_of_several_files_go_into_the_page(monkeypatch, tmp_path):
    """Parts can be measured one by one while the machine is quiet."""
    page, figures = tmp_path / "page.md", tmp_path / "some.json"
    page.write_text("<!-- bench:begin -->\n<!-- bench:end -->\n")
    figures.write_text(json.dumps({"size": "tiny", "repeats": 1, "conditions": conditions(Busy())}))
    monkeypatch.setattr(command, "PAGE", page)

    command.main(["--from", str(figures), str(figures)])

    assert page.read_text().count("size `tiny`") == 2


@pytest.mark.heavy
def test_the_whole_benchmark_has_all_figures(monkeypatch, tmp_path):
    """Every part at the smallest size, with the documented fields of bench.json."""
    monkeypatch.setenv("LTHSWEEP_DATA", str(tmp_path))
    lines = []

    found = measure("tiny", only=("lenet", "epoch", "loop", "pool", "memory"), progress=lines.append)

    assert json.loads(json.dumps(found)) == found
    ratios = (
        found["lenet"]["ratio"],
        found["lenet_bf16"]["ratio"],
        found["loop"]["bare_ratio"],
        found["pool"]["bound_ratio"],
    )
    assert all(ratio["low"] <= ratio["median"] <= ratio["high"] for ratio in ratios)
    steps = found["lenet"]["steps"]
    plan = plan_of(case_of("tiny", "lenet"))
    assert steps["naive"]["epochs"] == cost_of(plan).epochs_naive
    assert steps["ours"]["epochs"] == cost_of(plan).epochs
    assert steps["ours"]["agreement"]["cells"] == found["lenet"]["naive_cells"] == len(plan.cells) / 2
    assert steps["loaders"]["epochs"] == steps["naive"]["epochs"]
    assert steps["resident"]["agreement"]["equal"] == len(plan.cells) / 2
    assert found["epoch"]["ratio"]["values"]
    assert found["memory"]["shared"]["copies"] < 1.5
    assert found["conditions"]["cores"] >= 1
    assert {"load_average", "others_share"} <= found["conditions"].keys()
    assert len(lines) == 7 + 3 + 2 + 1 + 1  # seven steps: one-shot pruning has no chains
    text = markdown(found)
    assert "naive nested loop" in text
    assert "generated, 28x28x1" in text
    assert "seconds per epoch" in text
