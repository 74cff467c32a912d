"""Counter-based random numbers: pure functions of (seed, name of the stream, counters).

Order, augmentation and initialization must be the same in every process, after every resume, at every batch size and
in every future version of NumPy or torch. So nothing here has a state: a number is a hash of where it is used. The
hash is the finalizer of SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators",
OOPSLA 2014), chained over the counters.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["hash_counters", "permutation", "stream", "torch_seed"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


def stream(seed: int, name: str) -> int:
    """The 64-bit key of one named stream of a seed, e.g. `stream(3, "augment")`; streams are independent."""
    digest = hashlib.sha256(f"lthsweep/{name}/{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def torch_seed(seed: int, name: str, *counters: int) -> int:
    """A seed for `torch.manual_seed`, non-negative and below 2**63."""
    key = np.uint64(stream(seed, name))
    for counter in counters:
        key = hash_counters(int(key), np.asarray([counter]))[0]
    return int(key) >> 1


def hash_counters(key: int, *counters: NDArray[np.integer] | int) -> NDArray[np.uint64]:
    """Mix a key with counters of any broadcastable shapes into uniform 64-bit words.

    Args:
        key: from `stream`.
        counters: non-negative integers, scalars or arrays that broadcast against each other.

    Returns:
        uint64 array of the broadcast shape (at least one dimension).
    """
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is the point
        state = np.atleast_1d(np.asarray(key, dtype=np.uint64))
        for counter in counters:
            state = _mix(state + (np.asarray(counter).astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    return state


def permutation(key: int, counter: int, length: int) -> NDArray[np.int64]:
    """A permutation of range(length) that is a pure function of (key, counter).

    Sorting 64-bit hashes of the samples; equal hashes (about 1e-10 likely at 50,000 samples) keep index order.
    """
    words = hash_counters(key, counter, np.arange(length))
    return np.argsort(words, kind="stable").astype(np.int64)


def _mix(word: NDArray[np.uint64]) -> NDArray[np.uint64]:
    word = (word ^ (word >> np.uint64(30))) * _MIX1
    word = (word ^ (word >> np.uint64(27))) * _MIX2
    return word ^ (word >> np.uint64(31))
