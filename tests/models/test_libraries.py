"""Networks of torchvision and timm by name: random weights, the shape of the data, and an identity across versions."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from lthsweep.errors import ModelError, SpecError
from lthsweep.models.build import build_model
from lthsweep.models.identity import library_identity
from lthsweep.models.networks import LIBRARIES, network
from lthsweep.plan.expand import expand
from lthsweep.spec import dump_spec, load_spec, spec_of
from lthsweep.usercode import LIBRARIES as PREFIXES

SHUFFLENET = "torchvision:shufflenet_v2_x0_5"
VIT = "timm:vit_tiny_patch16_224"


@pytest.fixture
def needs_timm():
    pytest.importorskip("timm", reason="timm is not installed; CI installs it with the extra dev")


def build(name, shape=(3, 32, 32), seed=0, **options):
    return build_model({"name": name, **options}, input_shape=shape, classes=7, seed=seed)


def tables(name, grid=None, **options):
    return {
        "sweep": {"model": {"name": name, **options}, "data": {"name": "digits"}},
        "grid": {"sparsity": [0.5], **(grid or {})},
    }


def test_prefixes_are_those_of_the_registry():
    assert set(LIBRARIES) == PREFIXES


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_torchvision_networks_fit_any_channels(channels):
    model = build(SHUFFLENET, (channels, 32, 32))

    assert model(torch.zeros(2, channels, 32, 32)).shape == (2, 7)


def test_weights_depend_on_the_seed_only():
    one, same, other = build(SHUFFLENET), build(SHUFFLENET), build(SHUFFLENET, seed=1)

    assert torch.equal(one.conv1[0].weight, same.conv1[0].weight)
    assert not torch.equal(one.conv1[0].weight, other.conv1[0].weight)


def test_initializers_apply_to_library_networks():
    model = build(SHUFFLENET, (1, 32, 32), init="signed_constant")

    assert model.conv1[0].weight.abs().unique().numel() == 1


def test_options_reach_the_library():
    assert build("torchvision:mobilenet_v3_small", width_mult=0.5).features[0][0].out_channels == 8


def test_vision_transformers_get_the_size_of_the_images():
    assert build("torchvision:vit_b_16").image_size == 32
    with pytest.raises(ModelError, match="square"):
        build("torchvision:vit_b_16", (3, 32, 48))


def test_networks_with_auxiliary_outputs_give_logits():
    model = build("torchvision:googlenet", (3, 64, 64)).train()

    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("torchvision:shufflenet_v2_x05", {}, "did you mean 'shufflenet_v2_x0_5'"),
        ("torchvision:deeplabv3_resnet50", {}, "does not exist"),
        (SHUFFLENET, {"weights": "DEFAULT"}, "model.weights cannot be set.*downloads nothing"),
        (SHUFFLENET, {"num_classes": 3}, "model.num_classes cannot be set.*data"),
        (SHUFFLENET, {"breadth": 3}, "cannot be built.*breadth"),
    ],
)
def test_wrong_names_and_options_are_refused(name, options, message):
    with pytest.raises(ModelError, match=message):
        build(name, **options)


def test_timm_networks_fit_the_data(needs_timm):
    model = build(VIT, (1, 32, 32))

    assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 7)
    assert build("timm:resnet10t", (1, 32, 32))(torch.zeros(2, 1, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("timm:vit_tiny_patch16_22", {}, "did you mean 'vit_tiny_patch16_224'"),
        (VIT, {"pretrained": True}, "model.pretrained cannot be set"),
        (VIT, {"hidden": 5}, "cannot be built.*hidden"),
    ],
)
def test_wrong_timm_names_are_refused(needs_timm, name, options, message):
    with pytest.raises(ModelError, match=message):
        build(name, **options)


def test_a_missing_timm_is_an_error_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)

    with pytest.raises(ModelError, match=r"pip install 'lthsweep\[timm\]'"):
        build(VIT)


def test_the_file_keeps_names_and_options(tmp_path):
    """No permission and no hash: the library's code is not the user's."""
    spec = spec_of(tables(SHUFFLENET, grid={"model.dropout": [0.1, 0.2]}))
    (tmp_path / "sweep.toml").write_text(dump_spec(spec))

    assert spec.sweep.model.name == SHUFFLENET
    assert list(expand(load_spec(tmp_path / "sweep.toml")).runs) == list(expand(spec).runs)
    assert network(SHUFFLENET).reads == "images"


@pytest.mark.parametrize("name", ["torchvision:", "torchvision:a/b", "timm:a:b", "hf:model"])
def test_invalid_library_names_are_refused(name):
    with pytest.raises(SpecError, match="model"):
        spec_of(tables(name))


def test_libraries_are_names_of_networks_only():
    raw = tables("lenet_300_100")
    raw["sweep"]["model"]["init"] = "torchvision:kaiming"

    with pytest.raises(SpecError, match="init"):
        spec_of(raw)


def test_reading_a_library_name_imports_no_library():
    code = (
        "import sys; from lthsweep.spec import spec_of; "
        f"spec_of({tables(VIT)!r}); print(any(name in sys.modules for name in ('torch', 'timm', 'torchvision')))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "False"


def test_networks_of_libraries_have_an_identity():
    options = {"name": "mobilenet_v2", "strides": "cifar", "width": 0.25, "dropout": 0.2}
    built_in = library_identity(options, (3, 32, 32), 10)

    assert built_in is not None and built_in["library"] == "torchvision" and len(built_in["hash"]) == 64
    assert library_identity({**options, "init": "orthogonal"}, (3, 32, 32), 10) == built_in
    assert library_identity({"name": "lenet_300_100"}, (1, 8, 8), 10) is None


def test_the_identity_depends_on_what_is_computed():
    """Names and shapes of the parameters are equal for both strides."""
    one, other = (
        library_identity({"name": "mobilenet_v2", "strides": strides, "width": 0.25}, (3, 32, 32), 10)
        for strides in ("cifar", "imagenet")
    )

    assert one != other


def test_the_identity_is_the_same_in_another_process():
    """With other threads and another state of torch's generator."""
    code = (
        "import json, torch; torch.manual_seed(9); from lthsweep.models.identity import library_identity; "
        f"print(json.dumps(library_identity({{'name': {SHUFFLENET!r}}}, (1, 32, 32), 10)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default"},
    )

    assert json.loads(shown.stdout) == library_identity({"name": SHUFFLENET}, (1, 32, 32), 10)
