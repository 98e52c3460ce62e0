"""Kept positions end to end, convolutions with channels side by side, and half precision, against torch's own ways."""

import pytest
import torch
from torch import nn

from seqloom.nn.convolution import convolved
from seqloom.nn.dropout import hashed
from seqloom.nn.norm import MaskedBatchNorm
from seqloom.nn.packed import packed, places_of, trimmed, unpacked
from seqloom.nn.pool import masked_mean

MASK = torch.arange(6) < torch.tensor([[6], [0], [2], [5]])


def test_kept_positions_are_taken_out_and_put_back_with_their_gradients():
    places = places_of(MASK)
    x = torch.randn(4, 6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.equal(packed(x, places), x[MASK])
    back = unpacked(packed(x, places), places).view(x.shape)
    assert torch.equal(back, x * MASK[..., None])
    assert torch.autograd.gradcheck(lambda each: packed(each, places), x)
    assert torch.autograd.gradcheck(lambda each: unpacked(each[MASK], places), x)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_convolution_is_torchs_whatever_the_layout(kernel):
    layer = nn.Conv1d(3, 4, kernel, padding=kernel // 2)
    x = torch.randn(2, 7, 3)
    torch.testing.assert_close(convolved(x, layer), layer(x.transpose(1, 2)).transpose(1, 2), atol=1e-6, rtol=1e-5)


def test_columns_beyond_the_longest_row_are_left_out():
    ids = torch.arange(8).expand(2, 8)
    for longest, left in ((8, 8), (3, 3), (0, 1)):
        found, mask = trimmed(ids, torch.arange(8) < torch.tensor([[longest], [0]]))
        assert found.shape == mask.shape == (2, left)
    assert trimmed(ids[:0], torch.zeros(0, 8, dtype=torch.bool))[0].shape == (0, 1)


def test_batch_norm_of_half_precision_keeps_its_means_in_single_precision():
    x = (torch.randn(4, 6, 3) * 0.3 + 20).bfloat16()
    half, single = MaskedBatchNorm(3), MaskedBatchNorm(3)
    out, expected = half(x, MASK), single(x.float(), MASK)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), expected, atol=2e-2, rtol=2e-2)
    torch.testing.assert_close(half.mean, single.mean, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(half.variance, single.variance, atol=1e-4, rtol=1e-4)


def test_the_mean_over_kept_symbols_is_zero_where_there_are_none():
    x = torch.randn(4, 6, 3)
    expected = torch.stack(
        [row[kept].mean(0) if kept.any() else torch.zeros(3) for row, kept in zip(x, MASK, strict=True)]
    )
    torch.testing.assert_close(masked_mean(x, MASK), expected)


def test_hashed_numbers_are_those_of_the_published_hash():
    def lowbias32(x: int) -> int:
        x ^= x >> 16
        x = x * 0x7FEB352D % 2**32
        x ^= x >> 15
        x = x * 0x846CA68B % 2**32
        return x ^ x >> 16

    key, golden = 2**32 - 5, 0x9E3779B9
    rows = [lowbias32((row * golden + key) % 2**32) for row in range(3)]
    expected = [[(lowbias32((row + place * golden) % 2**32) >> 8) / 2**24 for place in range(50)] for row in rows]
    assert torch.equal(hashed((3, 50), torch.tensor(key)), torch.tensor(expected))
