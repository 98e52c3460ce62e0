"""Nets of tables trained with products of matrices in 16 bits."""

import numpy as np
import pytest
import torch

from seqloom.encode.base import Inputs
from seqloom.predict.base import Dims, Examples, Job
from seqloom.registry import build
from seqloom.tokens import Tokens
from seqloom.training.settings import TrainSection

N, LENGTH, SYMBOLS = 300, 8, 6
KINDS = ("cnn", "rnn", "transformer", "mamba", "light-attention", "sigmoid")


def examples(seed):
    """Sequences, and how many of their symbols are 1 or 2, in its standard deviation."""
    ids = np.random.default_rng(seed).integers(1, SYMBOLS + 1, (N, LENGTH)).astype(np.uint8)
    tokens = Tokens(ids.ravel(), np.arange(N + 1) * LENGTH)
    y = (ids <= 2).sum(1, keepdims=True) - LENGTH / 3
    return Examples(Inputs(tokens=tokens, covariates=np.zeros((N, 0), np.float32)), y / y.std())


@pytest.mark.parametrize("kind", KINDS)
def test_every_net_learns_in_bf16_alone_and_beside_another(kind):
    train, valid = examples(0), examples(1)
    dims = Dims("regression", 1, 1, vocabulary=SYMBOLS + 1, longest=LENGTH, symbols=(SYMBOLS,))
    net = build("predictor", {"kind": kind, **({"layers": 1} if kind in ("mamba", "transformer") else {})})
    found = {}
    for precision in ("32", "bf16"):
        settings = TrainSection(device="cpu", precision=precision, epochs=3, lr=3e-3, batch=32)
        alone = net.fit(train, valid, Job(dims, 0, settings))
        both = net.fit_members([(train, valid, Job(dims, seed, settings, f"{seed}")) for seed in range(2)])
        found[precision] = [model.predict(valid.inputs) for model in (alone, *both)]
        types = {value.dtype for value in alone.state().values()}
        assert types <= {np.dtype(np.float32), np.dtype(np.int64)}
    for one, other in zip(found["32"], found["bf16"], strict=True):
        assert not np.array_equal(one, other)
        assert np.corrcoef(one[:, 0], other[:, 0])[0, 1] > 0.9
        losses = [np.mean((each - valid.y) ** 2) for each in (one, other)]
        assert losses[1] < max(0.9 * np.mean(valid.y**2), 1.2 * losses[0])
    assert torch.get_default_dtype() == torch.float32
