"""Building by name: a pure function of (options, seed), and clear refusals."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from operator import itemgetter
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2 as torchvision_mobilenet_v2

from lthsweep.errors import LthsweepError, ModelError, UnknownNameError
from lthsweep.models.build import build_model
from lthsweep.models.networks import INITIALIZERS, NETWORKS
from lthsweep.randomness import torch_seed

ROOT = Path(__file__).resolve().parents[2]
CIFAR = (3, 32, 32)
SMALL = {"name": "lenet_300_100"}


def digest(model: nn.Module) -> str:
    state = model.state_dict()
    return hashlib.sha256(b"".join(state[name].numpy().tobytes() for name in sorted(state))).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("shape", [CIFAR, (1, 28, 28)])
@pytest.mark.parametrize("name", [name for name in NETWORKS if not name.startswith("text_")])
def test_every_model_learns_from_one_or_three_channels(name, shape):
    """Forward and backward reach every parameter, on the shapes of the data sets."""
    model = build_model({"name": name}, input_shape=shape, classes=7, seed=0)
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))

    logits = model(images)
    logits.square().sum().backward()

    assert logits.shape == (2, 7)
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(bool(torch.isfinite(parameter.grad).all()) for parameter in model.parameters())


@pytest.mark.parametrize("init", INITIALIZERS)
def test_same_options_and_seed_give_the_same_bits(init):
    """A run is named by its seed, so the seed alone determines the initial weights, independent of earlier draws."""
    options = {**SMALL, "init": init}
    first = digest(build_model(options, input_shape=CIFAR, classes=10, seed=4))
    torch.rand(3)

    again = digest(build_model(options, input_shape=CIFAR, classes=10, seed=4))

    assert again == first
    assert digest(build_model(options, input_shape=CIFAR, classes=10, seed=5)) != first


@pytest.mark.slow
def test_another_process_draws_the_same_bits():
    """The workers of a sweep, and the next machine, begin from the same weights."""
    options = [
        {"name": "mobilenet_v2", "strides": "cifar", "width": 0.25},
        {"name": "conv2", "init": "xavier_normal"},
        {"name": "resnet20", "init": "kaiming_uniform"},
    ]
    code = (
        "import hashlib, torch\n"
        "from lthsweep.models.build import build_model\n"
        "torch.manual_seed(99)\n"
        f"for options in {options!r}:\n"
        "    state = build_model(options, input_shape=(3, 32, 32), classes=10, seed=1).state_dict()\n"
        "    data = b''.join(state[name].numpy().tobytes() for name in sorted(state))\n"
        "    print(hashlib.sha256(data).hexdigest())\n"
    )
    theirs = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()

    ours = [digest(build_model(chosen, input_shape=CIFAR, classes=10, seed=1)) for chosen in options]

    assert ours == theirs


@pytest.mark.parametrize("init", INITIALIZERS)
@pytest.mark.parametrize("options", [SMALL, {"name": "mobilenet_v2", "width": 0.25}], ids=itemgetter("name"))
def test_building_leaves_the_global_random_state_alone(options, init):
    """Building a second model in a process must not change the dropout of the first."""
    before = torch.get_rng_state()

    build_model({**options, "init": init}, input_shape=CIFAR, classes=10, seed=0)

    assert torch.equal(torch.get_rng_state(), before)


def test_a_default_device_does_not_move_the_model():
    """The caller moves the model; a meta or GPU default would change the drawn numbers."""
    expected = digest(build_model(SMALL, input_shape=CIFAR, classes=10, seed=0))

    with torch.device("meta"):
        model = build_model(SMALL, input_shape=CIFAR, classes=10, seed=0)

    assert digest(model) == expected


def test_mobilenet_v2_is_torchvisions_to_the_last_bit():
    """Layer names, structure, default weights and gradients are those of the well-known network."""
    ours = build_model(
        {"name": "mobilenet_v2", "width": 0.5, "dropout": 0.0}, input_shape=CIFAR, classes=10, seed=2
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(torch_seed(2, "init"))
        theirs = torchvision_mobilenet_v2(weights=None, width_mult=0.5, num_classes=10, dropout=0.0)

    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert digest(ours) == digest(theirs)
    assert str(ours).replace("Depthwise", "") == str(theirs).replace("ReLU6(inplace=True)", "ReLU6()")

    images = torch.rand(8, *CIFAR, generator=torch.Generator().manual_seed(0))
    for network in (ours, theirs):
        network(images).square().sum().backward()
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    assert all(torch.equal(one.grad, other.grad) for one, other in pairs)


def test_one_channel_changes_the_stem_alone():
    """Grey images need another first convolution, with torchvision's initialization, the variant's stride."""
    options = {"name": "mobilenet_v2", "strides": "cifar"}
    gray = build_model(options, input_shape=(1, 28, 28), classes=10, seed=0)
    stem = gray.get_submodule("features.0.0")

    assert tuple(stem.weight.shape) == (32, 1, 3, 3)
    assert (stem.stride, stem.padding, stem.bias) == ((1, 1), (1, 1), None)
    assert stem.weight.std().item() == pytest.approx(math.sqrt(2 / (32 * 9)), rel=0.2)


@pytest.mark.parametrize(
    ("init", "bound", "deviation"),
    [
        ("kaiming_normal", None, math.sqrt(2 / 3072)),
        ("kaiming_uniform", math.sqrt(6 / 3072), math.sqrt(2 / 3072)),
        ("xavier_normal", None, math.sqrt(2 / 3372)),
        ("xavier_uniform", math.sqrt(6 / 3372), math.sqrt(2 / 3372)),
    ],
)
def test_initializer_draws_its_distribution(init, bound, deviation):
    """Variance 2/fan_in (He) or 2/(fan_in + fan_out) (Glorot); uniform within its bound, normal beyond."""
    weight = build_model({**SMALL, "init": init}, input_shape=CIFAR, classes=10, seed=0).fc1.weight

    assert weight.std().item() == pytest.approx(deviation, rel=0.01)
    largest = weight.abs().max().item()
    assert largest <= bound if bound else largest > 3.5 * deviation


@pytest.mark.parametrize("init", [name for name in INITIALIZERS if name != "default"])
def test_initializer_zeroes_biases_and_leaves_batchnorm(init):
    """The axis of the study is the distribution of the weights, and nothing else."""
    model = build_model({"name": "vgg11", "init": init}, input_shape=CIFAR, classes=10, seed=0)

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert not module.bias.any()
        if isinstance(module, nn.BatchNorm2d):
            assert bool((module.weight == 1).all())
            assert not module.bias.any()


def test_default_init_keeps_what_the_constructor_drew():
    """PyTorch's own default has non-zero biases."""
    model = build_model(SMALL, input_shape=CIFAR, classes=10, seed=0)

    assert bool(model.fc1.bias.any())


@pytest.mark.parametrize(
    ("name", "smallest"),
    [("conv2", 2), ("conv4", 4), ("conv6", 8), ("vgg11", 16), ("vgg13", 16), ("vgg16", 16), ("vgg19", 16)],
)
def test_images_below_the_smallest_size_are_refused(name, smallest):
    """Pooling to nothing would fail deep inside torch, or train a linear layer of no inputs."""
    with pytest.raises(ModelError, match=f"too small.*{smallest}x{smallest}"):
        build_model({"name": name}, input_shape=(3, smallest, smallest - 1), classes=10, seed=0)

    model = build_model({"name": name}, input_shape=(3, smallest, smallest), classes=10, seed=0)
    assert model(torch.zeros(2, 3, smallest, smallest)).shape == (2, 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "mobilenet_v2", "width": 0}, "width = 0"),
        ({"name": "mobilenet_v2", "width": float("nan")}, "width = nan"),
        ({"name": "mobilenet_v2", "dropout": 1.0}, "dropout = 1.0"),
        ({"name": "mobilenet_v2", "strides": "cifr"}, "model.strides = 'cifr'"),
        ({"name": "mobilenet"}, "did you mean 'mobilenet_v2'"),
        ({"name": "conv2", "init": "xavier"}, "unknown initializer 'xavier'"),
        ({"name": "conv2", "width": 2}, "no option 'width'; it has: init"),
        ({"name": "resnet20", "depth": 32}, "no option 'depth'"),
    ],
)
def test_wrong_option_is_refused_by_name(options, message):
    """The message names the error and the allowed values."""
    with pytest.raises(LthsweepError, match=message):
        build_model(options, input_shape=CIFAR, classes=10, seed=0)


@pytest.mark.parametrize("shape", [(3, 32), (0, 32, 32), (3, -1, 32)])
def test_shape_that_is_no_images_is_refused(shape):
    """A data set that could not tell its size must not become a network of no inputs."""
    with pytest.raises(ModelError, match="input shape"):
        build_model(SMALL, input_shape=shape, classes=10, seed=0)


def test_no_classes_are_refused():
    """A folder without class folders has none."""
    with pytest.raises(ModelError, match="0 classes"):
        build_model(SMALL, input_shape=CIFAR, classes=0, seed=0)


def test_unknown_model_is_an_error_of_the_file():
    """The command leaves with the exit code of bad input."""
    with pytest.raises(UnknownNameError):
        build_model({}, input_shape=CIFAR, classes=10, seed=0)


def test_layer_names_are_pinned():
    """Masks in records carry these names; a renamed layer would orphan them."""
    names = {
        name: [
            key
            for key, _ in build_model({"name": name}, input_shape=CIFAR, classes=2, seed=0).named_parameters()
        ]
        for name in ("lenet_300_100", "conv2", "resnet20", "vgg11", "mobilenet_v2")
    }

    assert names["lenet_300_100"] == [f"fc{n}.{kind}" for n in (1, 2, 3) for kind in ("weight", "bias")]
    layers = ("conv1", "conv2", "fc1", "fc2", "fc3")
    assert names["conv2"] == [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    assert names["resnet20"][:4] == ["conv1.weight", "bn1.weight", "bn1.bias", "layer1.0.conv1.weight"]
    assert "layer2.0.shortcut.0.weight" in names["resnet20"]
    assert names["vgg11"][:3] == ["features.0.weight", "features.0.bias", "features.1.weight"]
    assert names["vgg11"][-2:] == ["fc.weight", "fc.bias"]
    assert names["mobilenet_v2"][0] == "features.0.0.weight"
    assert names["mobilenet_v2"][-2:] == ["classifier.1.weight", "classifier.1.bias"]


@pytest.mark.parametrize(
    "registry", ["lthsweep.models.networks", "lthsweep.pruning.registry", "lthsweep.pruning.counts"]
)
def test_registry_does_not_import_torch(registry):
    """Reading a file and planning it must not wait for torch."""
    code = f"import sys, {registry}; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
