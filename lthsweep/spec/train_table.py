"""`[train]`: the training recipe, shared by the dense run and its tickets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lthsweep.spec.fields import Allowed, EntryTable, FileTable, Flag, Number, TableByName, Whole

__all__ = ["AdamSpec", "AdamWSpec", "ConstantSpec", "CosineSpec", "SGDSpec", "StepSpec", "TrainSpec"]

_LR = "The highest learning rate, right after the warm-up."
_WEIGHT_DECAY = "Weight decay of every parameter."


class OptimizerTable(EntryTable):
    """The keys that all optimizers share."""


class SGDSpec(OptimizerTable):
    """Stochastic gradient descent; weight decay is added to the gradient."""

    name: Literal["sgd"] = Field("sgd", description="The optimizer.")
    lr: Number = Field(0.1, gt=0, description=_LR)
    momentum: Number = Field(0.9, ge=0, lt=1, description="Momentum; 0 for none.")
    nesterov: Flag = Field(False, description="Nesterov's form of momentum.")
    weight_decay: Number = Field(0.0, ge=0, description=_WEIGHT_DECAY)


class _Adam(OptimizerTable):
    lr: Number = Field(1e-3, gt=0, description=_LR)
    beta1: Number = Field(0.9, ge=0, lt=1, description="Decay of the running mean of gradients.")
    beta2: Number = Field(0.999, ge=0, lt=1, description="Decay of the running mean of squared gradients.")
    eps: Number = Field(1e-8, gt=0, description="Added to the denominator.")


class AdamSpec(_Adam):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980); weight decay is added to the gradient."""

    name: Literal["adam"] = Field("adam", description="The optimizer.")
    weight_decay: Number = Field(0.0, ge=0, description=_WEIGHT_DECAY)


class AdamWSpec(_Adam):
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101): decoupled weight decay."""

    name: Literal["adamw"] = Field("adamw", description="The optimizer.")
    weight_decay: Number = Field(0.01, ge=0, description=_WEIGHT_DECAY)


class ScheduleTable(EntryTable):
    """The keys that all learning-rate schedules share."""

    warmup: Number = Field(
        0.0,
        ge=0,
        description="Epochs, also a fraction of one, of linearly rising learning rate; below train.epochs.",
    )


class ConstantSpec(ScheduleTable):
    """A constant learning rate."""

    name: Literal["constant"] = Field("constant", description="The schedule.")


class StepSpec(ScheduleTable):
    """The learning rate is multiplied by gamma at each milestone."""

    name: Literal["step"] = Field("step", description="The schedule.")
    milestones: Annotated[
        tuple[Annotated[Whole, Field(ge=1)], ...],
        Allowed("a list of whole numbers >= 1, at least one", "a whole number >= 1"),
    ] = Field(min_length=1, description="Epochs, rising, each below train.epochs.")
    gamma: Number = Field(0.1, gt=0, le=1, description="Factor at each milestone.")


class CosineSpec(ScheduleTable):
    """Half a cosine from the highest learning rate down (Loshchilov & Hutter 2017, arXiv:1608.03983)."""

    name: Literal["cosine"] = Field("cosine", description="The schedule.")
    final: Number = Field(0.0, ge=0, le=1, description="Learning rate at the end, as a fraction of lr.")


_OPTIMIZER_TABLES = {"sgd": SGDSpec, "adam": AdamSpec, "adamw": AdamWSpec}
_SCHEDULE_TABLES = {"constant": ConstantSpec, "step": StepSpec, "cosine": CosineSpec}


class TrainSpec(FileTable):
    """The training recipe, shared by the dense run and its tickets."""

    epochs: Whole = Field(
        10, ge=1, description="Length of the dense run. A ticket rewound to k trains epochs − k."
    )
    batch_size: Whole = Field(128, ge=1, description="Images per step.")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="fp32 is the reference; bf16 computes in bfloat16 and keeps the weights in fp32."
    )
    label_smoothing: Number = Field(0.0, ge=0, lt=1, description="Label smoothing of the training loss.")
    group_lasso: Number = Field(
        0.0,
        ge=0,
        description="Strength of the group lasso over filters, which drives whole filters to zero; 0 for none. Below "
        "1e-3 over a long training, up to 1e-2 over a short one.",
    )
    fuse: Annotated[
        Literal["auto"] | Annotated[Whole, Field(ge=1)], Allowed('"auto" or a whole number >= 1')
    ] = Field(
        "auto",
        description="Largest number of tickets of one dense run and rewind point that are trained as one model; 1 "
        "trains each alone. auto measures the best number on a GPU, and is 1 on a CPU. It is not part of a run's key.",
    )
    optimizer: Annotated[OptimizerTable, TableByName(_OPTIMIZER_TABLES, default="sgd")] = Field(
        default_factory=SGDSpec, description="How weights follow gradients."
    )
    schedule: Annotated[ScheduleTable, TableByName(_SCHEDULE_TABLES, default="constant")] = Field(
        default_factory=ConstantSpec, description="How the learning rate changes over the epochs."
    )

    def recipe(self) -> dict[str, object]:
        """The part of this table that a run depends on: all keys except `fuse`."""
        return self.model_dump(mode="json", exclude={"fuse"})
