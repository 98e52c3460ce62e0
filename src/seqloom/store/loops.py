"""The loops of a store, compiled by numba; imported only where it is installed.

They trust what they are given: indices are checked by those who call. Rows lie at random places of an array much larger than the
caches, so each loop asks for the memory of a row `AHEAD` rows before it is needed, and copies by words of 8 bytes. A row of 74
bytes lies on two or three lines of memory: asking for the one between its ends, too, halved the time. The processor finds the
further lines of a long row by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np

from seqloom.store.instructions import ask_for, put_word, word_at

AHEAD = 16
"""Rows; 8 to 32 did equally well."""
WORD = 8
PAIRS_FROM = 2**16
"""Bytes from which a table of all pairs of bytes is worth making."""
LINE = 64
"""Bytes that memory gives at a time."""
PART = 1024
"""Numbers permuted at a time."""
STEP = 32
"""Rows between two anchors, as in `seqloom.store.rows`."""
ONES = np.uint64(0x0101010101010101)
FULL = np.uint64(0xFFFFFFFFFFFFFFFF)
ODD, EVEN = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)

Loop = TypeVar("Loop", bound=Callable[..., object])


def compiled(loop: Loop) -> Loop:
    """The loop, compiled when first called and kept on disk; it does not hold the interpreter's lock."""
    try:
        return cast(Loop, numba.njit(nogil=True, cache=True)(loop))
    except RuntimeError:  # no folder to keep it in
        return cast(Loop, numba.njit(nogil=True)(loop))


@compiled
def encode(text: np.ndarray, look_up: np.ndarray, values: np.ndarray) -> int:
    """Fill `values` with `look_up[text]`; all ids or-ed together, so that 128 is in it where any is 128 or more."""
    seen, done = 0, 0
    if len(text) >= PAIRS_FROM:
        pairs = np.empty(2**16, np.uint16)
        for high in range(256):
            for low in range(256):
                pairs[high << 8 | low] = np.uint16(look_up[high]) << np.uint16(8) | np.uint16(look_up[low])
        done = len(text) // 2 * 2
        text_2, values_2 = text[:done].view(np.uint16), values[:done].view(np.uint16)
        both = np.uint16(0)
        for i in range(len(text_2)):
            pair = pairs[text_2[i]]
            values_2[i] = pair
            both |= pair
        seen = int(both >> 8) | int(both & 255)
    for i in range(done, len(text)):
        value = look_up[text[i]]
        values[i] = value
        seen |= int(value)
    return seen


@compiled
def begins(rows: np.ndarray, anchors: np.ndarray, lengths: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` with where rows begin: their anchor, and the lengths from there to the row."""
    n_rows = len(lengths)
    for i in range(len(rows)):
        if i + AHEAD < len(rows):
            ask_for(anchors, rows[i + AHEAD] // STEP)
            ask_for(lengths, rows[i + AHEAD] // STEP * STEP)
            ask_for(lengths, rows[i + AHEAD])
        row = rows[i]
        first = row // STEP * STEP
        total = np.uint64(0)
        if first + STEP <= n_rows:  # a sum of fixed length is done in a few instructions
            before = np.uint32(row - first)
            for k in range(STEP):
                total += np.uint64(np.uint32(lengths[first + k]) * np.uint32(np.uint32(k) < before))
        else:
            for k in range(first, row):
                total += np.uint64(lengths[k])
        out[i] = anchors[row // STEP] + np.int64(total)


@compiled
def padded(
    values: np.ndarray, begins: np.ndarray, lengths: np.ndarray, width: int, ids: np.ndarray, mask: np.ndarray
) -> int:
    """Fill `ids` and `mask` (uint8, B * width each) with rows cut to `width`; how many rows lie outside `values`."""
    n_rows, n_values, n_words, outside = len(begins), len(values), width // WORD, 0
    for i in range(n_rows):
        if i + AHEAD < n_rows:
            ahead = begins[i + AHEAD]
            ask_for(values, ahead)
            ask_for(values, ahead + min(LINE, width - 1))
            ask_for(values, ahead + width - 1)
        begin, length, out = begins[i], min(lengths[i], width), i * width
        if begin < 0 or begin > n_values - length:
            outside += 1
            continue
        done = 0
        if begin <= n_values - n_words * WORD:
            for k in range(n_words):
                n_kept = min(max(length - WORD * k, 0), WORD)
                keep = FULL >> np.uint64(64 - 8 * n_kept) if n_kept > 0 else np.uint64(0)
                put_word(ids, out + WORD * k, word_at(values, begin + WORD * k) & keep)
                put_word(mask, out + WORD * k, ONES & keep)
            done = n_words * WORD
        for k in range(done, width):
            inside = k < length
            ids[out + k] = values[begin + k] if inside else 0
            mask[out + k] = inside
    return outside


@compiled
def ragged(values: np.ndarray, begins: np.ndarray, offsets: np.ndarray, out: np.ndarray) -> int:
    """Fill `out` with rows end to end, row i at `offsets[i]`; how many rows lie outside `values`."""
    n_rows, n_values, n_out, outside = len(begins), len(values), len(out), 0
    for i in range(n_rows):
        if i + AHEAD < n_rows:
            ahead = begins[i + AHEAD]
            last = offsets[i + AHEAD + 1] - offsets[i + AHEAD] - 1
            ask_for(values, ahead)
            ask_for(values, ahead + min(LINE, last))
            ask_for(values, ahead + last)
        begin, place = begins[i], offsets[i]
        length = offsets[i + 1] - place
        if begin < 0 or begin > n_values - length:
            outside += 1
            continue
        whole = (length + WORD - 1) // WORD * WORD
        if begin <= n_values - whole and place <= n_out - whole:  # what is written too far, the next row writes again
            for k in range(0, whole, WORD):
                put_word(out, place + k, word_at(values, begin + k))
        else:
            for k in range(length):
                out[place + k] = values[begin + k]
    return outside


@compiled
def _mixed(value: np.uint64) -> np.uint64:
    value = value * ODD
    value ^= value >> np.uint64(29)
    return (value * EVEN) >> np.uint64(32)


@compiled
def _permuted(value: np.uint64, keys: tuple[np.uint64, ...], bits: np.uint64, half_mask: np.uint64) -> np.uint64:
    """One way through the network; six keys by name, so that a loop over values does several of them at a time."""
    k0, k1, k2, k3, k4, k5 = keys
    left, right = value >> bits, value & half_mask
    left, right = right, left ^ (_mixed(right ^ k0) & half_mask)
    left, right = right, left ^ (_mixed(right ^ k1) & half_mask)
    left, right = right, left ^ (_mixed(right ^ k2) & half_mask)
    left, right = right, left ^ (_mixed(right ^ k3) & half_mask)
    left, right = right, left ^ (_mixed(right ^ k4) & half_mask)
    left, right = right, left ^ (_mixed(right ^ k5) & half_mask)
    return left << bits | right


@compiled
def keyed_slice(keys: tuple[np.uint64, ...], half_bits: int, n: int, start: int, out: np.ndarray) -> None:
    """Fill `out` with the places from `start` on of a keyed permutation of 0..n-1 (`seqloom.tokens.keyed_slice`).

    Values that are not below n go through the network again, all of a part together: a loop for each value by itself
    would take the wrong way every other time.
    """
    bits, half_mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    values, limit = out.view(np.uint64), np.uint64(n)
    again, own = np.empty(PART, np.int64), np.empty(PART, np.uint64)
    for begin in range(0, len(out), PART):
        end = min(begin + PART, len(out))
        for i in range(begin, end):
            values[i] = _permuted(np.uint64(start + i), keys, bits, half_mask)
        n_again = 0
        for i in range(begin, end):
            again[n_again] = i
            n_again += values[i] >= limit
        while n_again:
            for k in range(n_again):
                own[k] = values[again[k]]
            for k in range(n_again):
                own[k] = _permuted(own[k], keys, bits, half_mask)
            n_left = 0
            for k in range(n_again):
                values[again[k]] = own[k]
                again[n_left] = again[k]
                n_left += own[k] >= limit
            n_again = n_left


@compiled
def drawn(
    blocks: np.ndarray,
    block: int,
    starts: np.ndarray,
    lengths: np.ndarray,
    members: np.ndarray,
    skip: int,
    out: np.ndarray,
) -> int:
    """Fill `out` (M, 3) with the rows of `blocks` whose `members` (len(blocks) * block) is not 0: row, begin, length.

    The first `skip` of them are left out. How many were written; it ends when `out` is full.
    """
    n_rows, at = len(lengths), -skip
    for place in range(len(blocks)):
        first = blocks[place] * block
        begin = starts[blocks[place]]
        for k in range(min(block, n_rows - first)):
            length = np.int64(lengths[first + k])
            if at >= len(out):
                return at
            if at >= 0:  # also a row that is not drawn is written, and the next one over it: no branch to guess
                out[at, 0], out[at, 1], out[at, 2] = first + k, begin, length
            at += members[place * block + k]
            begin += length
    return at


@compiled
def by_length(order: np.ndarray, pool: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` (M, 3) with the (row, begin, length) of `pool` (M, 3) in `order`, shorter rows first and else as they come."""
    longest = np.int64(0)
    for i in range(len(pool)):
        longest = max(longest, pool[i, 2])
    place = np.zeros(longest + 2, np.int64)
    for i in range(len(pool)):
        place[pool[i, 2] + 1] += 1
    for length in range(longest):
        place[length + 1] += place[length]
    flat = pool.reshape(-1)
    for i in range(len(order)):
        if i + AHEAD < len(order):
            ask_for(flat, 3 * order[i + AHEAD])
        row = order[i]
        length = pool[row, 2]
        at = place[length]
        place[length] = at + 1
        out[at, 0], out[at, 1], out[at, 2] = pool[row, 0], pool[row, 1], length
