"""Losses of a gan pull the right way, and penalties are those of their papers."""

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from seqloom.alphabet import DNA, PROTEIN
from seqloom.errors import ConfigError
from seqloom.generate.adversarial.augmentation import Augmentation, substitutions
from seqloom.generate.adversarial.control import PATIENCE, Control
from seqloom.generate.adversarial.encodings import Embedding, symbol_vectors
from seqloom.generate.adversarial.layers import Attention, Conv, Doubled, Halved, Modulated, spectrally_normed
from seqloom.generate.adversarial.losses import centre, critic_loss, generator_loss
from seqloom.generate.adversarial.penalties import one_centred, steepness, zero_centred
from seqloom.generate.adversarial.relaxation import drawn_noise, ended_ids, relaxed, with_a_symbol
from seqloom.generate.gan import Gan
from seqloom.registry import build

LOSSES = ("rp", "hinge", "wasserstein", "ra-hinge", "non-saturating")


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_critic_that_follows_its_gradient_tells_natural_from_generated_better(loss):
    real, fake = random(32, 6, seed=1), random(32, 6, seed=2) + 0.1
    weights = random(6, seed=3).mul_(0.1).requires_grad_()
    bias = torch.zeros((), requires_grad=True)
    loss_before = critic_loss(loss, real @ weights + bias, fake @ weights + bias)
    loss_before.backward()
    with torch.no_grad():
        after = weights - 0.1 * weights.grad
    gap = [float((real @ each).mean() - (fake @ each).mean()) for each in (weights.detach(), after)]
    assert gap[1] > gap[0]
    assert critic_loss(loss, real @ after, fake @ after) < loss_before


@pytest.mark.parametrize("loss", LOSSES)
def test_generated_sequences_that_follow_the_gradient_please_the_critic_more(loss):
    real, fake, weights = random(32, 6, seed=1), random(32, 6, seed=2).requires_grad_(), random(6, seed=3) * 0.1
    generator_loss(loss, real @ weights, fake @ weights).backward()
    moved = fake.detach() - 10 * fake.grad
    change = (moved - fake.detach()) @ weights
    assert float(change.min()) > 0
    # And against what the critic itself wants of them.
    again = fake.detach().requires_grad_()
    critic_loss(loss, real @ weights, again @ weights).backward()
    assert float(((again - 10 * again.grad - again).detach() @ weights).max()) < 0


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_those_of_their_papers(loss):
    real, fake = np.array([1.5, -0.3, 0.2]), np.array([-2.0, 0.4, 0.1])

    def hinge(x):
        return np.maximum(0, 1 - x).mean()

    def logistic(x):
        return np.log1p(np.exp(-x)).mean()

    expected = {
        "hinge": (hinge(real) + hinge(-fake), -fake.mean()),
        "wasserstein": (fake.mean() - real.mean(), -fake.mean()),
        "ra-hinge": (
            hinge(real - fake.mean()) + hinge(real.mean() - fake),
            hinge(fake - real.mean()) + hinge(fake.mean() - real),
        ),
        "rp": (logistic(real - fake), logistic(fake - real)),
        "non-saturating": (logistic(real) + logistic(-fake), logistic(fake)),
    }[loss]
    got = [float(each(loss, torch.tensor(real), torch.tensor(fake))) for each in (critic_loss, generator_loss)]
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_critic_is_right_beyond_the_middle_whatever_is_added_where_only_differences_count(loss):
    real, fake = torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0])
    middle = float(centre(loss, real, fake))
    assert middle == (0.0 if loss in ("hinge", "non-saturating") else 2.5)


def linear(weights):
    return lambda x, _: (x * weights).sum((1, 2))


def test_penalties_of_a_linear_critic_are_known():
    weights, x = random(5, 4), random(3, 5, 4, seed=1).requires_grad_()
    square = float(weights.square().sum())
    steep = steepness(linear(weights)(x, None), x)
    torch.testing.assert_close(steep, torch.full((3,), square))
    assert float(zero_centred(steep, 0.5)) == pytest.approx(square / 4)
    assert float(one_centred(linear(weights), x, x + 1, None, 10.0)) == pytest.approx(
        10 * (square**0.5 - 1) ** 2, rel=1e-5
    )
    unit = weights / square**0.5
    assert float(one_centred(linear(unit), x, x + 1, None, 10.0)) == pytest.approx(0, abs=1e-9)


def test_the_penalty_makes_a_critic_less_steep():
    weights = random(5, 4).requires_grad_()
    x = random(3, 5, 4, seed=1).requires_grad_()
    zero_centred(steepness(linear(weights)(x, None).tanh(), x), 1.0).backward()
    with torch.no_grad():
        less = weights - 0.01 * weights.grad
    before, after = (float(steepness(linear(each)(x, None).tanh(), x).mean().detach()) for each in (weights, less))
    assert after < before


@pytest.mark.parametrize("how", ["st-gumbel", "gumbel", "softmax"])
def test_relaxed_sequences_end_once_and_pass_gradients(how):
    torch.manual_seed(0)
    logits = random(16, 10, 5).requires_grad_()
    x = relaxed(logits, how, 0.7)
    torch.testing.assert_close(x.sum(-1), torch.ones(16, 10))
    ids = x.argmax(-1)
    assert torch.equal(ids, ended_ids(ids))
    assert (ids[:, 0] > 0).all()
    if how == "st-gumbel":
        assert set(x.detach().round(decimals=5).unique().tolist()) <= {0.0, 1.0}
    (x * random(10, 5, seed=1)).sum().backward()
    first_padding = (ids == 0).int().argmax(1)
    for row, end in enumerate(first_padding.tolist()):
        if end:
            assert logits.grad[row, end].abs().sum() > 0  # whether to end there is learnt
            assert logits.grad[row, end + 1 :].abs().sum() == 0  # what follows is not


def test_hard_draws_have_the_shares_of_the_softmax():
    torch.manual_seed(0)
    logits = torch.tensor([0.0, 1.0, 2.0]).expand(100_000, 3)
    shares = torch.bincount((logits + drawn_noise(logits)).argmax(-1)) / 100_000
    torch.testing.assert_close(shares, torch.softmax(logits[0], 0), atol=0.005, rtol=0)


def test_no_sequence_is_empty():
    logits = torch.zeros(1, 2, 3)
    logits[0, 0, 0] = 100.0
    assert int(with_a_symbol(logits)[0, 0].argmax()) != 0


@pytest.mark.parametrize("up", ["subpixel", "transposed", "nearest"])
def test_positions_are_doubled(up):
    torch.manual_seed(0)
    layer = Doubled(4, 6, 3, up)
    assert layer(random(2, 8, 4)).shape == (2, 16, 6)


@pytest.mark.parametrize("down", ["strided", "average"])
def test_positions_are_halved(down):
    assert Halved(4, 6, 3, down)(random(2, 8, 4)).shape == (2, 4, 6)


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (5, 2, 1), (3, 1, 2), (1, 1, 1)])
def test_a_convolution_is_the_one_of_torch_with_channels_last(kernel, stride, dilation):
    layer = Conv(4, 6, kernel, stride, dilation)
    x = random(2, 8, 4)
    plain = torch.nn.functional.conv1d(
        x.mT, layer.weight, layer.bias, stride, (kernel - 1) * dilation // 2, dilation
    ).mT
    torch.testing.assert_close(layer(x), plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", ["none", "pixel", "batch"])
def test_channels_are_normed_and_then_styled(norm):
    layer = Modulated(8, 3, norm)
    x, style = 5 + 3 * random(16, 4, 8), torch.zeros(16, 3)
    y = layer(x, style)
    if norm == "none":
        torch.testing.assert_close(y, x)
    elif norm == "pixel":
        torch.testing.assert_close(y.square().mean(2), torch.ones(16, 4), atol=1e-4, rtol=0)
    else:
        torch.testing.assert_close(y.mean((0, 1)), torch.zeros(8), atol=1e-4, rtol=0)
    assert not torch.equal(layer(x, style + 1), y)


def test_attention_adds_nothing_at_first():
    x = random(2, 8, 16)
    assert torch.equal(Attention(16)(x), x)


def test_spectral_norms_are_1_by_singular_values():
    torch.manual_seed(0)
    net = spectrally_normed(torch.nn.Sequential(Conv(4, 6, 3), torch.nn.Linear(6, 9)))
    for _ in range(30):
        weights = [net[0].weight, net[1].weight]
    for weight in weights:
        assert np.linalg.svd(weight.detach().flatten(1).numpy(), compute_uv=False)[0] == pytest.approx(1, abs=1e-3)


def test_encodings_tell_symbols_apart_and_padding_from_all(tmp_path):
    file = tmp_path / "vectors.csv"
    file.write_text(
        "symbol,x,y\n" + "".join(f"{each},{number},{number * number}\n" for number, each in enumerate("ACGT"))
    )
    for encoding, symbols, alphabet in (
        ("onehot", PROTEIN.standard, "protein"), ("property", PROTEIN.standard, "protein"), ("blosum", PROTEIN.standard, "protein"),
        ("external", DNA.standard, "dna"),
    ):  # fmt: skip
        vectors = symbol_vectors(encoding, symbols, alphabet, str(file))
        assert len(vectors) == len(np.unique(vectors, axis=0)) == len(symbols) + 1
        assert (vectors[1:] @ vectors[0] == 0).all()
        assert np.linalg.norm(vectors[1:], axis=1).mean() == pytest.approx(1)
        x = one_hot(torch.arange(len(symbols) + 1), len(symbols) + 1)[None].float()
        torch.testing.assert_close(Embedding(vectors, len(vectors))(x)[0], torch.from_numpy(vectors))
    learned = Embedding(symbol_vectors("learned", "ACGT", "dna"), 5)
    assert learned(x[:, :, :5]).norm(dim=-1)[0, :5].tolist() == pytest.approx([1] * 5)
    near = symbol_vectors("blosum", PROTEIN.standard, "protein")[PROTEIN.ids("IVD")]
    assert near[0] @ near[1] > near[0] @ near[2]


def test_vectors_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="is of amino acids"):
        symbol_vectors("blosum", "ACGT", "dna")
    file = tmp_path / "vectors.csv"
    file.write_text("A,1\nC,2\nG,x\n")
    with pytest.raises(ConfigError, match="no line for T"):
        symbol_vectors("external", "ACGT", "dna", str(file))
    with pytest.raises(ConfigError, match="a symbol and the same count of numbers"):
        symbol_vectors("external", "ACG", "dna", str(file))
    with pytest.raises(ConfigError, match="cannot be read"):
        symbol_vectors("external", "ACG", "dna", str(tmp_path / "none.csv"))
    with pytest.raises(ConfigError, match="needs a file of vectors"):
        build("generator", {"kind": "gan", "encoding": "external"})


def test_augmentation_crops_the_end_by_up_to_two_and_substitutes_alike_residues():
    tokens = PROTEIN.encode(["MILVKRDEFWMILVKRDEFW"] * 400)
    table = substitutions(tokens, "protein", 21)
    np.testing.assert_allclose(table.sum(1), 1)
    assert np.trace(table[1:, 1:]) == 0
    i, v, d = PROTEIN.ids("IVD")
    assert table[i, v] > 5 * table[i, d]
    ids = torch.from_numpy(tokens.padded(np.arange(400), 24).ids).long()
    x = one_hot(ids, 21).float()
    augmentation = Augmentation(table)
    torch.manual_seed(0)
    assert torch.equal(augmentation(x, 0.0), x)
    y = augmentation(x, 1.0).argmax(-1)
    lost = 20 - (y > 0).sum(1)
    assert set(lost.tolist()) == {0, 1, 2}
    assert torch.equal(y, ended_ids(y))
    kept = y > 0
    assert 0.01 < float((y[kept] != ids[kept]).float().mean()) < 0.03
    soft = x.clone().requires_grad_()
    torch.manual_seed(0)
    assert torch.equal(augmentation(x, 0.0), x)
    augmentation(soft, 1.0).sum().backward()
    assert torch.equal(soft.grad[..., 0] != 0, y == ids)  # what was changed has no gradient


def test_a_sure_critic_is_augmented_and_a_perfect_one_stopped():
    control = Control()
    for turn in range(PATIENCE):
        for _ in range(3):
            control.note(torch.ones(4), -torch.ones(4), torch.zeros(()), torch.ones(()))
        assert control.means()["accuracy"] == 1.0
        assert control.decide(adaptive=True) is (turn == PATIENCE - 1)
    assert float(control.number("augmented")) == pytest.approx(0.5)
    control.harden(2.0)
    control.note(-torch.ones(4), -torch.ones(4), torch.zeros(()), torch.ones(()))
    assert control.means()["accuracy"] == 0.5
    assert not control.decide(adaptive=True)
    assert float(control.number("augmented")) == pytest.approx(0.45)
    control.note(torch.full((4,), torch.nan), -torch.ones(4), torch.zeros(()), torch.ones(()))
    assert control.decide(adaptive=True)


def test_control_is_the_same_after_a_running_mean_of_weights():
    control = Control()
    control.number("heavier").fill_(8.0)
    assert not any(each.is_floating_point() for each in control.state_dict().values())
    other = Control()
    other.load_state_dict(control.state_dict())
    assert float(other.number("heavier")) == 8.0


def test_even_kernels_and_idle_settings_are_refused():
    for wrong in ({"kernel": 4}, {"gp": 10.0}, {"vectors": "a.csv"}):
        with pytest.raises(ValueError, match=r"kernel|wasserstein|external"):
            Gan(**wrong)
