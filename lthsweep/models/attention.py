"""Self-attention made of linear layers, so that masks reach each of its weights.

`nn.MultiheadAttention` keeps query, key and value in one parameter that belongs to no linear layer: pruning by layers,
initializers and counts would all pass it by.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Attention", "AttentionProducts"]


class AttentionProducts(nn.Module):
    """softmax(QKᵀ/√d) V, where no weight is: a module, so that `lthsweep.models.macs` sees and counts it."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, read: Tensor) -> Tensor:
        """Each of [B, heads, L, d], and bool [B, 1, 1, L], False at padding → [B, heads, L, d]."""
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=read)


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2).

    Args:
        width: numbers per token, a multiple of `heads`.
        heads: how many attend side by side.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.products = AttentionProducts()
        self.out = nn.Linear(width, width)

    def forward(self, signal: Tensor, read: Tensor) -> Tensor:
        """[B, L, width], and bool [B, L], False for tokens that attention ignores → [B, L, width]."""
        query, key, value = (self._split(layer(signal)) for layer in (self.query, self.key, self.value))
        mixed = self.products(query, key, value, read[:, None, None, :])
        joined: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return joined

    def _split(self, signal: Tensor) -> Tensor:
        batch, length, width = signal.shape
        return signal.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
