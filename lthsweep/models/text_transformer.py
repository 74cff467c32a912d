"""A small Transformer encoder that classifies texts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lthsweep.models.attention import Attention
from lthsweep.models.shapes import InputShape, TextShape, check_text

__all__ = ["TextTransformer", "text_transformer"]

_DEVIATION = 0.02  # of the two tables, as in BERT: attention over numbers of deviation 1 starts far too sharp


class EncoderLayer(nn.Module):
    """Attention, then two linear layers, each on a normalized signal and added to it."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, signal: Tensor, read: Tensor) -> Tensor:
        """[B, L, width] and bool [B, L] → [B, L, width]."""
        signal = signal + self.dropout(self.attention(self.norm1(signal), read))
        inner = functional.gelu(self.fc1(self.norm2(signal)))
        changed: Tensor = signal + self.dropout(self.fc2(inner))
        return changed


class TextTransformer(nn.Module):
    """Embeddings of tokens and places, encoder layers, the mean over the tokens, one linear layer."""

    def __init__(
        self, shape: TextShape, classes: int, width: int, layers: int, heads: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape.vocabulary, width, padding_idx=0)
        self.places = nn.Embedding(shape.length, width)
        for table in (self.embedding, self.places):
            nn.init.normal_(table.weight, std=_DEVIATION)
        with torch.no_grad():
            self.embedding.weight[0] = 0
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(EncoderLayer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.fc = nn.Linear(width, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Int64 [B, L] → logits [B, classes]; padding does not change them."""
        read = tokens != 0
        signal = self.dropout(self.embedding(tokens) + self.places.weight)
        for layer in self.layers:
            signal = layer(signal, read)
        weights = read.to(signal.dtype) / read.sum(1, keepdim=True).clamp(min=1)
        mean = (self.norm(signal) * weights[:, :, None]).sum(1)
        logits: Tensor = self.fc(mean)
        return logits


def text_transformer(
    input_shape: InputShape,
    classes: int,
    *,
    embedding: int = 128,
    layers: int = 2,
    heads: int = 4,
    dropout: float = 0.1,
) -> nn.Module:
    """Build an encoder (Vaswani et al. 2017, arXiv:1706.03762) that normalizes before each part, with GELU.

    Each layer: attention of `heads`, then `4 × embedding` units. Places are learned. Prunable are the query, key,
    value, output and inner layers and the last one; the two embeddings are tables and are not pruned.

    Args:
        input_shape: of the texts.
        classes: outputs of the last layer.
        embedding: numbers per token, a multiple of `heads`.
        layers: how many.
        heads: of each attention.
        dropout: of the embeddings and of what each part adds.

    Raises:
        ModelError: if the data are not texts.
    """
    shape = check_text("text_transformer", input_shape)
    return TextTransformer(shape, classes, embedding, layers, heads, dropout)
