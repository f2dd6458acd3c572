"""Networks: attention against a triple loop, symmetries, shapes, what starts at zero, what sees what."""

import math

import pytest
import torch
import torch.nn.functional as F

from minidiff.nn import MLP, UNet, count_parameters
from minidiff.nn.attention import SelfAttention, attention
from minidiff.nn.blocks import Downsample, ResBlock, Upsample
from minidiff.nn.embed import TimeEmbedding, sinusoidal
from minidiff.nn.mlp import Gained
from minidiff.nn.unet import fourier


def shaken(network, seed=0, size=0.1):
    """The network with noise on every weight: nothing is zero any more."""
    torch.manual_seed(seed)
    for p in network.parameters():
        p.data.add_(size * torch.randn_like(p))
    return network


def qkv(seed=0, batch=(), N=5, M=7, d=4, e=3):
    g = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*batch, *shape, generator=g, dtype=torch.float64) for shape in ((N, d), (M, d), (M, e)))


def test_attention_by_an_explicit_triple_loop():
    q, k, v = qkv()
    out = torch.zeros(5, 3, dtype=torch.float64)
    for i in range(5):
        weights = [math.exp(math.fsum(float(q[i, c] * k[j, c]) for c in range(4)) / math.sqrt(4)) for j in range(7)]
        for j in range(7):
            for c in range(3):
                out[i, c] += weights[j] / math.fsum(weights) * v[j, c]
    torch.testing.assert_close(attention(q, k, v), out, rtol=1e-12, atol=1e-12)


def test_attention_is_torchs_fused_kernel():
    q, k, v = (x.float() for x in qkv(batch=(2, 3)))
    torch.testing.assert_close(attention(q, k, v), F.scaled_dot_product_attention(q, k, v), rtol=1e-6, atol=1e-6)


def test_attention_does_not_know_the_order_of_the_keys():
    q, k, v = qkv(1)
    p = torch.randperm(7)
    torch.testing.assert_close(attention(q, k[p], v[p]), attention(q, k, v), rtol=1e-12, atol=1e-12)
    p = torch.randperm(5)
    torch.testing.assert_close(attention(q[p], k, v), attention(q, k, v)[p], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(attention(q, k[:1], v[:1]), v[:1].expand(5, 3))  # one key: its value
    assert torch.isfinite(attention(1e4 * q, 1e4 * k, v)).all()
    assert torch.autograd.gradcheck(attention, tuple(x.requires_grad_() for x in qkv(2)))


def test_self_attention_layer():
    layer, x = SelfAttention(16, heads=4), torch.randn(2, 16, 3, 5)
    assert torch.equal(layer(x), x)  # starts as nothing
    layer = shaken(layer).double()
    x = x.double()
    h = layer.norm(x)
    q, k, v = (c.reshape(2, 4, 4, 15).transpose(-2, -1) for c in layer.qkv(h).chunk(3, dim=1))
    slow = x + layer.out(attention(q, k, v).transpose(-2, -1).reshape(2, 16, 3, 5))
    torch.testing.assert_close(layer(x), slow, rtol=1e-6, atol=1e-6)
    p = torch.randperm(15)
    moved = x.flatten(2)[:, :, p].reshape(x.shape)
    torch.testing.assert_close(layer(moved).flatten(2), layer(x).flatten(2)[:, :, p])  # it does not know places
    with pytest.raises(ValueError, match="multiple of heads"):
        SelfAttention(16, heads=3)


def test_sinusoidal():
    t = torch.tensor([0.0, 1.0, 999.0])
    features = sinusoidal(t, 8)
    assert features.shape == (3, 8)
    for i, w in enumerate(10_000.0 ** (-k / 4) for k in range(4)):
        for row, time in enumerate((0, 1, 999)):
            assert features[row, i].item() == pytest.approx(math.cos(time * w), abs=1e-4)
            assert features[row, 4 + i].item() == pytest.approx(math.sin(time * w), abs=1e-4)
    # A shift of t is a rotation of every (cos, sin) pair, the same for all t.
    c, s, dc, ds = *sinusoidal(torch.tensor([40.0]), 8).chunk(2, 1), *sinusoidal(torch.tensor([3.0]), 8).chunk(2, 1)
    moved = torch.cat([c * dc - s * ds, s * dc + c * ds], 1)
    torch.testing.assert_close(moved, sinusoidal(torch.tensor([43]), 8), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="even"):
        sinusoidal(t, 7)
    assert TimeEmbedding(12).double()(torch.tensor([1, 2])).dtype == torch.float64


@pytest.mark.parametrize("c_in, c_out", [(8, 8), (8, 16)])
def test_res_block_starts_as_its_skip(c_in, c_out):
    block, x, emb = ResBlock(c_in, c_out, 6), torch.randn(2, c_in, 4, 4), torch.randn(2, 6)
    assert torch.equal(block(x, emb), block.skip(x)) and (c_in != c_out or torch.equal(block(x, emb), x))
    block = shaken(block)
    assert not torch.allclose(block(x, emb), block(x, emb + 1))  # and it does listen to the time


def test_down_and_up():
    assert Downsample(4)(torch.zeros(1, 4, 8, 6)).shape == (1, 4, 4, 3)
    up = Upsample(1)
    up.conv.weight.data.zero_()
    up.conv.weight.data[0, 0, 1, 1] = 1
    up.conv.bias.data.zero_()
    assert up(torch.tensor([[[[1.0, 2.0]]]])).tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]


@pytest.mark.parametrize("options, size", [
    ({}, 28), ({"channels": (8, 16, 24), "attention": (False, False, True)}, 32), ({"patch": 1, "channels": (8, 8)}, 6),
    ({"channels": (8,), "attention": (True,), "blocks": 1}, 4), ({"in_channels": 3, "out_channels": 6, "channels": (8, 16)}, 8),
])
def test_unet_answers_zero_in_the_right_shape(options, size):
    net = UNet(**{"channels": (8, 16), **options})
    x = torch.randn(2, options.get("in_channels", 1), size, size)
    out = net(x, torch.tensor([1, 1000]))
    assert out.shape == (2, options.get("out_channels", 1), size, size) and not out.any()


@pytest.mark.parametrize("patch, attend", [(1, False), (2, False), (2, True)])
def test_every_pixel_sees_the_whole_picture(patch, attend):
    net = shaken(UNet(channels=(8, 8, 8), blocks=2, attention=(False, False, attend), patch=patch))
    x = torch.randn(1, 1, 16, 16, requires_grad=True)
    net(x, torch.tensor([5]))[0, 0, 0, 0].backward()
    assert (x.grad != 0).all()


def test_every_weight_is_used_and_examples_do_not_mix():
    net = shaken(UNet(channels=(8, 16), vector_dim=3, image_channels=2))
    x, image = torch.randn(3, 1, 8, 8), torch.randn(3, 2, 8, 8)
    out = net(x, torch.tensor([1, 50, 900]), torch.randn(3, 3), None, image)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    net = shaken(UNet(channels=(8, 16)))
    alone = torch.cat([net(x[i : i + 1], torch.tensor([7 + i])) for i in range(3)])
    torch.testing.assert_close(net(x, torch.tensor([7, 8, 9])), alone, rtol=1e-4, atol=1e-5)


def test_fourier_features():
    """sin and cos of pi f x: period 2 / f, and slope pi f at the background -1 (up to its sign), where the digits' noise is finest."""
    x, d = torch.full((1, 1, 2, 2), -1.0, dtype=torch.float64), 1e-6
    for i, f in enumerate((1, 8, 128)):
        sine, cosine = fourier(x, (1, 8, 128))[2 * i : 2 * i + 2]
        torch.testing.assert_close(fourier(x + 2 / f, (f,))[0], sine, atol=1e-9, rtol=0)
        torch.testing.assert_close(sine**2 + cosine**2, torch.ones_like(x))
        slope = (fourier(x + d, (f,))[0] - fourier(x - d, (f,))[0]) / (2 * d)
        torch.testing.assert_close(slope.abs(), torch.full_like(x, math.pi * f), rtol=1e-6, atol=0)
    net = shaken(UNet(channels=(8, 16), frequencies=(8, 32), image_channels=1))
    assert net.first.in_channels == 4 * (1 + 4 + 1)
    x, image = torch.randn(2, 2, 1, 8, 8)
    assert net(x, torch.tensor([1, 2]), None, None, image).shape == (2, 1, 8, 8)


def test_unet_listens_to_time_label_and_picture():
    net = shaken(UNet(channels=(8, 16), vector_dim=3, image_channels=2))
    x, t, v, i = torch.randn(2, 1, 8, 8), torch.tensor([5, 5]), torch.randn(2, 3), torch.randn(2, 2, 8, 8)
    base = net(x, t, v, None, i)
    for other in (net(x, t + 300, v, None, i), net(x, t, v + 1, None, i), net(x, t, v, None, i + 1), net(x + 1, t, v, None, i)):
        assert not torch.allclose(base, other)


@pytest.mark.parametrize("args, fragment", [
    ((torch.zeros(1, 1, 6, 8),), "multiples of 4"), ((torch.zeros(1, 1, 8, 6),), "multiples of 4"), ((torch.zeros(1, 8, 8),), "B, 1, H, W"),
    ((torch.zeros(1, 2, 8, 8),), "B, 1, H, W"), ((torch.zeros(1, 1, 8, 8), torch.zeros(1, 3)), "vector of width 0"),
    ((torch.zeros(1, 1, 8, 8), None, torch.zeros(1, 2, 4)), "no tokens"),
    ((torch.zeros(1, 1, 8, 8), None, None, torch.zeros(1, 1, 8, 8)), "image of 0 channels"),
])
def test_unet_refuses_what_it_was_not_built_for(args, fragment):
    x, *rest = args
    with pytest.raises(ValueError, match=fragment):
        UNet(channels=(8, 16))(x, torch.tensor([1]), *rest)


def test_unet_asks_for_the_condition_it_was_built_for():
    net, x, t = UNet(channels=(8, 16), vector_dim=3), torch.zeros(1, 1, 8, 8), torch.tensor([1])
    for vector in (None, torch.zeros(1, 4)):
        with pytest.raises(ValueError, match="vector of width 3"):
            net(x, t, vector)
    with pytest.raises(ValueError, match="image of 2 channels"):
        UNet(channels=(8, 16), image_channels=2)(x, t)
    with pytest.raises(ValueError, match="same resolutions; got 3 and 2"):
        UNet(channels=(8, 16, 24))


def test_mlp():
    net = shaken(MLP(dim=3, out_dim=6, width=16, vector_dim=2))
    x, t, v = torch.randn(4, 3), torch.tensor([1, 2, 3, 4]), torch.randn(4, 2)
    out = net(x, t, v)
    assert out.shape == (4, 6)
    for other in (net(x + 1, t, v), net(x, t + 100, v), net(x, t, v + 1)):
        assert not torch.allclose(out, other)
    with pytest.raises(ValueError, match="vector of width 2"):
        net(x, t)
    with pytest.raises(ValueError, match=r"x_t must be \(B, 3\)"):
        net(torch.zeros(4, 2), t, v)


def test_gains_are_of_the_time_alone_and_begin_at_nothing():
    net = Gained(MLP(dim=3, out_dim=3, width=16))
    x, t = torch.randn(4, 3), torch.tensor([1, 2, 3, 4])
    assert torch.equal(net(x, t), net.network(x, t))
    shaken(net)
    a, b = net.gains(net.network.time(t)).chunk(2, 1)
    assert torch.allclose(net(x, t), a * x + net.network(x, t) * (1 + b)) and a.abs().min() > 0 and b.abs().min() > 0
    torch.nn.init.zeros_(net.network.last.weight)
    torch.nn.init.zeros_(net.network.last.bias)
    by_gain = torch.autograd.functional.jacobian(lambda y: net(y, t).sum(0), x).movedim(1, 0)  # without the network: a diagonal of a
    assert torch.allclose(by_gain, torch.diag_embed(a))


def test_count_parameters():
    assert count_parameters(torch.nn.Linear(3, 5)) == 20
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 2).requires_grad_(False))
    assert count_parameters(net) == 32
    assert count_parameters(ResBlock(8, 16, 6)) == (16 + 8 * 16 * 9 + 16) + (6 * 32 + 32) + (32 + 16 * 16 * 9 + 16) + (8 * 16 + 16)
