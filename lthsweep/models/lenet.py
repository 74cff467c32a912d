"""LeNet-300-100: the fully connected network of the lottery ticket paper."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from lthsweep.models.shapes import InputShape, check_input

__all__ = ["lenet_300_100"]


def lenet_300_100(input_shape: InputShape, classes: int) -> nn.Module:
    """Build LeNet-300-100: the flattened image, 300 and 100 ReLU units, `classes` outputs.

    LeCun et al., Proc. IEEE 86 (1998); Frankle & Carbin, ICLR 2019, arXiv:1803.03635, figure 2. 28x28 gray
    images and 10 classes: 266,610 parameters, 266,200 multiply-accumulates. The paper initializes with Glorot
    normal (`init = "xavier_normal"`).

    Args:
        input_shape: (channels, height, width).
        classes: outputs of the last layer.

    Raises:
        ModelError: if the shape is not an image's.
    """
    channels, height, width = check_input("lenet_300_100", input_shape)
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            flatten=nn.Flatten(),
            fc1=nn.Linear(channels * height * width, 300),
            relu1=nn.ReLU(),
            fc2=nn.Linear(300, 100),
            relu2=nn.ReLU(),
            fc3=nn.Linear(100, classes),
        )
    )
