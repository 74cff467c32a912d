"""Parameters and multiply-accumulates against the published ones: exact counts, no tolerances."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import MobileNet_V2_Weights, MobileNetV2
from torchvision.models.mobilenetv2 import InvertedResidual

from lthsweep.errors import ModelError
from lthsweep.models.build import build_model
from lthsweep.models.macs import NetworkCost, network_cost

CIFAR = (3, 32, 32)
MNIST = (1, 28, 28)


class KuangliuBlock(InvertedResidual):
    """The block of github.com/kuangliu/pytorch-cifar: always expands, projects wherever the stride is 1."""

    def __init__(self, inp, oup, stride, expand_ratio, norm_layer=None):
        super().__init__(inp, oup, stride, expand_ratio, norm_layer)
        if expand_ratio == 1:
            expand = nn.Sequential(nn.Conv2d(inp, inp, 1, bias=False), nn.BatchNorm2d(inp), nn.ReLU())
            self.conv = nn.Sequential(expand, *self.conv)
        self.shortcut = None
        if stride == 1 and inp != oup:
            self.shortcut = nn.Sequential(nn.Conv2d(inp, oup, 1, bias=False), nn.BatchNorm2d(oup))

    def forward(self, images):
        out = super().forward(images)
        return out if self.shortcut is None else out + self.shortcut(images)


def kuangliu(stem_stride: int, stage2_stride: int) -> nn.Module:
    blocks = [
        [1, 16, 1, 1],
        [6, 24, 2, stage2_stride],
        [6, 32, 3, 2],
        [6, 64, 4, 2],
        [6, 96, 3, 1],
        [6, 160, 3, 2],
        [6, 320, 1, 1],
    ]
    network = MobileNetV2(num_classes=10, inverted_residual_setting=blocks, block=KuangliuBlock)
    network.features[0][0].stride = (stem_stride, stem_stride)
    return network


@pytest.mark.parametrize(
    ("name", "shape", "parameters", "weights", "macs"),
    [
        ("lenet_300_100", MNIST, 266_610, 266_200, 266_200),
        ("conv2", CIFAR, 4_301_642, 4_300_992, 43_780_608),
        ("conv4", CIFAR, 2_425_930, 2_425_024, 98_306_560),
        ("conv6", CIFAR, 2_262_602, 2_261_184, 153_881_088),
        ("resnet20", CIFAR, 272_474, 270_896, 40_813_184),
        ("resnet32", CIFAR, 466_906, 464_432, 69_124_736),
        ("resnet44", CIFAR, 661_338, 657_968, 97_436_288),
        ("resnet56", CIFAR, 855_770, 851_504, 125_747_840),
        ("resnet110", CIFAR, 1_730_714, 1_722_416, 253_149_824),
        ("vgg11", CIFAR, 9_231_114, 9_222_848, 152_769_536),
        ("vgg13", CIFAR, 9_416_010, 9_407_168, 228_267_008),
        ("vgg16", CIFAR, 14_728_266, 14_715_584, 313_201_664),
        ("vgg19", CIFAR, 20_040_522, 20_024_000, 398_136_320),
        ("mobilenet_v2", CIFAR, 2_236_682, 2_202_560, 6_124_928),
    ],
)
def test_counts_are_the_published_ones(name, shape, parameters, weights, macs):
    """The papers round them: 0.267 M, 4.3/2.4/2.26 M, 0.272 M with 40.8 M, 14.73 M with 313.2 M."""
    model = build_model({"name": name}, input_shape=shape, classes=10, seed=0)

    assert network_cost(model, shape) == NetworkCost(parameters, weights, weights, macs, macs)


def test_mobilenet_v2_counts_equal_torchvision_and_the_paper():
    """torchvision states 3,504,872 and 0.301 G, the paper 300 M: depthwise groups are counted right."""
    model = build_model({"name": "mobilenet_v2"}, input_shape=(3, 224, 224), classes=1000, seed=0)
    stated = MobileNet_V2_Weights.IMAGENET1K_V1.meta

    cost = network_cost(model, (3, 224, 224))

    assert (cost.params_total, cost.macs_dense) == (3_504_872, 300_774_272)
    assert cost.params_total == stated["num_params"]
    assert round(cost.macs_dense / 1e9, 3) == stated["_ops"]


def test_cifar_strides_change_the_cost_and_no_weight():
    """One name for two networks 14 times apart in cost would hide the variant; their weights are alike."""
    imagenet, cifar = (
        build_model({"name": "mobilenet_v2", "strides": strides}, input_shape=CIFAR, classes=10, seed=3)
        for strides in ("imagenet", "cifar")
    )

    assert network_cost(cifar, CIFAR) == NetworkCost(2_236_682, 2_202_560, 2_202_560, 87_976_448, 87_976_448)
    assert network_cost(imagenet, CIFAR).macs_dense == 6_124_928
    states = zip(imagenet.state_dict().values(), cifar.state_dict().values(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in states)


@pytest.mark.parametrize(
    ("strides", "parameters", "macs"),
    [((1, 1), 2_296_922, 91_154_944), ((1, 2), 2_296_490, 26_337_280), ((2, 2), 2_296_490, 6_593_920)],
)
def test_kuangliu_network_has_its_published_counts(strides, parameters, macs):
    """2.297 M and 91.2 M are published for his blocks; "cifar" has his strides and torchvision's blocks."""
    cost = network_cost(kuangliu(*strides), CIFAR)

    assert (cost.params_total, cost.macs_dense) == (parameters, macs)


def test_depthwise_weights_multiply_once_per_position():
    """Counting in_channels x out_channels for a grouped convolution is the classic mistake."""
    depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)

    assert network_cost(depthwise, (8, 5, 7)) == NetworkCost(72, 72, 72, 72 * 35, 72 * 35)


def test_macs_remaining_count_kept_weights_per_position():
    """The same sparsity saves more in a layer with more output positions."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, bias=False), nn.Flatten(), nn.Linear(8, 3))
    masks = {"0.weight": torch.zeros(2, 1, 3, 3, dtype=torch.bool), "2.weight": torch.ones(3, 8).bool()}
    masks["0.weight"][0, 0, 0] = True

    cost = network_cost(model, (1, 5, 5), masks)

    assert cost == NetworkCost(18 + 27, 18 + 24, 3 + 24, 18 * 4 + 24, 3 * 4 + 24)


def test_layers_without_a_mask_cost_their_dense_macs():
    """Excluded layers are computed whole."""
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))

    cost = network_cost(model, (1, 1, 4), {"1.weight": torch.zeros(2, 3, dtype=torch.bool)})

    assert cost == NetworkCost(15 + 8, 6, 0, 12 + 6, 12)


def test_layer_that_is_called_twice_costs_twice():
    """Shared weights are stored once and computed at each use."""
    shared = nn.Linear(4, 4, bias=False)

    assert network_cost(nn.Sequential(shared, shared), (1, 1, 4)) == NetworkCost(16, 16, 16, 32, 32)


def test_counting_does_not_change_the_network():
    """Counting in the middle of a run must not change the run."""
    model = build_model({"name": "mobilenet_v2", "width": 0.25}, input_shape=CIFAR, classes=10, seed=0)
    model.get_submodule("features.3").eval()
    modes = [module.training for module in model.modules()]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random_state = torch.get_rng_state()

    network_cost(model, CIFAR)

    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("mask", "message"),
    [({"bias": torch.ones(3).bool()}, "no convolution"), ({"weight": torch.ones(2, 2).bool()}, "shape")],
)
def test_mask_that_fits_no_weight_is_refused(mask, message):
    """A mask under a wrong name would silently count as dense."""
    with pytest.raises(ModelError, match=message):
        network_cost(nn.Linear(4, 3), (1, 1, 4), mask)
