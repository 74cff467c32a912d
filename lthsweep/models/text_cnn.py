"""The convolutional network for sentences of Kim 2014."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lthsweep.models.shapes import InputShape, check_text

__all__ = ["TextCNN", "text_cnn"]

_WIDTHS = (3, 4, 5)


class TextCNN(nn.Module):
    """Embedding, convolutions of three widths over the tokens, the maximum over time of each, one linear layer."""

    def __init__(self, vocabulary: int, classes: int, embedding: int, filters: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding, padding_idx=0)
        for width in _WIDTHS:
            self.add_module(f"conv{width}", nn.Conv1d(embedding, filters, width))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(len(_WIDTHS) * filters, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Int64 [B, L] → logits [B, classes]."""
        signal = self.embedding(tokens).transpose(1, 2)
        heard = [functional.relu(self.get_submodule(f"conv{width}")(signal)).amax(2) for width in _WIDTHS]
        logits: Tensor = self.fc(self.dropout(torch.cat(heard, 1)))
        return logits


def text_cnn(
    input_shape: InputShape, classes: int, *, embedding: int = 128, filters: int = 100, dropout: float = 0.5
) -> nn.Module:
    """Build the network of Kim, EMNLP 2014, arXiv:1408.5882, figure 1: "CNN-rand", its embedding learned from nothing.

    The paper's filters (100 each of widths 3, 4 and 5) and dropout; its embedding has 300 numbers per word, and its
    constraint on the norm of the last layer is left out. The embedding is a table, not a layer that multiplies: it
    is not pruned.

    Args:
        input_shape: of the texts, at least 5 tokens.
        classes: outputs of the last layer.
        embedding: numbers per token.
        filters: of each width.
        dropout: before the last layer.

    Raises:
        ModelError: if the data are no texts, or shorter than 5 tokens.
    """
    shape = check_text("text_cnn", input_shape, shortest=max(_WIDTHS))
    return TextCNN(shape.vocabulary, classes, embedding, filters, dropout)
