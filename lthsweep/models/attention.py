"""Self-attention made of linear layers, so that query, key and value are layers for pruning and initializers.

`nn.MultiheadAttention` keeps the three in one parameter, which is one layer.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Attention"]


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
        self.out = nn.Linear(width, width)

    def forward(self, signal: Tensor, read: Tensor) -> Tensor:
        """[B, L, width], and bool [B, L], False for tokens that attention ignores → [B, L, width]."""
        query, key, value = (self._split(layer(signal)) for layer in (self.query, self.key, self.value))
        mask = read[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        joined: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return joined

    def _split(self, signal: Tensor) -> Tensor:
        batch, length, width = signal.shape
        return signal.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
