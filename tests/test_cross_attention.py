"""Cross-attention against explicit loops, and the properties that make it useful: order of tokens, one token, masks, gradients."""

import math

import pytest
import torch
import torch.nn.functional as F

from minidiff.nn.attention import CrossAttention, attention, attention_weights


@pytest.fixture
def layer():
    torch.manual_seed(0)
    made = CrossAttention(16, 10, heads=4).double()
    torch.nn.init.normal_(made.out.weight, std=0.3)
    return made


def inputs(tokens=5):
    g = torch.Generator().manual_seed(1)
    x = torch.randn(2, 16, 3, 4, generator=g, dtype=torch.float64)
    context = torch.randn(2, tokens, 10, generator=g, dtype=torch.float64)
    mask = torch.ones(2, tokens, dtype=torch.bool)
    mask[0, 3:] = False
    return x, context, mask


def by_loops(layer, x, context, mask):
    """Rombach et al. 2022, section 3.3, head by head, place by place, token by token."""
    B, C, H, W = x.shape
    h, d = layer.norm(x), C // layer.heads
    Wq, bq = layer.q.weight[:, :, 0, 0], layer.q.bias
    out = torch.zeros_like(x)
    for b in range(B):
        for y in range(H):
            for z in range(W):
                q = Wq @ h[b, :, y, z] + bq
                mixed = torch.zeros(C, dtype=x.dtype)
                for head in range(layer.heads):
                    part = slice(head * d, (head + 1) * d)
                    scores = {}
                    for m in range(context.shape[1]):
                        if mask[b, m]:
                            scores[m] = math.exp(sum(q[part] * (layer.k.weight @ context[b, m])[part]).item() / math.sqrt(d))
                    for m, score in scores.items():
                        mixed[part] += score / sum(scores.values()) * (layer.v.weight @ context[b, m])[part]
                out[b, :, y, z] = layer.out.weight[:, :, 0, 0] @ mixed + layer.out.bias
    return x + out


def test_equals_explicit_loops(layer):
    x, context, mask = inputs()
    assert torch.allclose(layer(x, context, mask), by_loops(layer, x, context, mask), atol=1e-12)


def test_the_formula_and_the_fused_kernel_agree_also_with_a_mask():
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 4, n, 8, generator=g) for n in (7, 5, 5))
    mask = torch.rand(2, 1, 1, 5, generator=g) < 0.6
    mask[..., 0] = True
    for m in (None, mask):
        assert torch.allclose(attention(q, k, v, m), F.scaled_dot_product_attention(q, k, v, m), atol=1e-6)


def test_the_order_of_tokens_does_not_matter(layer):
    x, context, mask = inputs()
    order = torch.tensor([3, 0, 4, 2, 1])
    assert torch.allclose(layer(x, context, mask), layer(x, context[:, order], mask[:, order]), atol=1e-12)


def test_one_token_is_handed_to_every_place_whatever_it_asks(layer):
    x, context, _ = inputs(tokens=1)
    expected = layer.out(layer.v(context[:, 0])[:, :, None, None])
    assert torch.allclose(layer(x, context) - x, expected.expand_as(x), atol=1e-12)


def test_a_masked_token_is_as_if_it_were_not_there(layer):
    x, context, mask = inputs()
    changed = context.clone()
    changed[0, 3:] = 1e3
    assert torch.allclose(layer(x, context, mask), layer(x, changed, mask), atol=1e-12)
    assert torch.allclose(layer(x, context, mask)[:1], layer(x[:1], context[:1, :3]), atol=1e-12)


def test_weights_are_shares_over_tokens_and_make_the_output(layer):
    x, context, mask = inputs()
    w = layer.weights(x, context, mask)
    assert w.shape == (2, 4, 3, 4, 5) and w[0, ..., 3:].sum() == 0
    assert torch.allclose(w.sum(-1), torch.ones(2, 4, 3, 4, dtype=torch.float64))
    values = layer.v(context).unflatten(-1, (4, 4))  # (B, M, heads, d)
    mixed = torch.einsum("bhyxm,bmhd->bhdyx", w, values).flatten(1, 2)
    assert torch.allclose(layer(x, context, mask), x + layer.out(mixed), atol=1e-12)


def test_the_softmax_runs_over_keys_with_the_width_of_a_head():
    q, k = torch.zeros(1, 2, 4), torch.zeros(1, 3, 4)
    q[0, 0, 0], k[0, 0, 0] = 2.0, 2.0
    w = attention_weights(q, k)
    e = math.exp(4 / math.sqrt(4))
    assert torch.allclose(w[0, 0], torch.tensor([e, 1, 1]) / (e + 2)) and torch.allclose(w[0, 1], torch.full((3,), 1 / 3))


def test_a_new_layer_changes_nothing_and_gradients_are_right():
    torch.manual_seed(0)
    layer = CrossAttention(8, 6, heads=2).double()
    x, context = torch.randn(1, 8, 2, 2, dtype=torch.float64), torch.randn(1, 3, 6, dtype=torch.float64)
    assert torch.equal(layer(x, context), x)
    torch.nn.init.normal_(layer.out.weight)
    assert torch.autograd.gradcheck(layer, (x.requires_grad_(), context.requires_grad_()))
    with pytest.raises(ValueError, match="multiple of heads"):
        CrossAttention(10, 6, heads=4)
