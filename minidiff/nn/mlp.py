"""A perceptron for points in the plane, told the time: enough for every two-dimensional experiment."""

from __future__ import annotations

from torch import Tensor, nn

from minidiff.nn.embed import TimeEmbedding


class MLP(nn.Module):
    """network(x_t, t, vector, tokens, image) -> (B, out_dim), for x_t (B, dim); vector (B, vector_dim) is optional.

    Residual layers x + Linear(silu(Linear(silu(x)) + emb(t))), `depth` of them, of the given width.
    """

    def __init__(self, dim: int = 2, out_dim: int = 2, width: int = 128, depth: int = 3, vector_dim: int = 0) -> None:
        super().__init__()
        self.dim, self.vector_dim = dim, vector_dim
        self.time = TimeEmbedding(width)
        self.vector = nn.Linear(vector_dim, width) if vector_dim else None
        self.first = nn.Linear(dim, width)
        self.inner = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.outer = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.last = nn.Linear(width, out_dim)
        self.act = nn.SiLU()

    def forward(
        self, x_t: Tensor, t: Tensor, vector: Tensor | None = None, tokens: Tensor | None = None, image: Tensor | None = None
    ) -> Tensor:
        if x_t.ndim != 2 or x_t.shape[1] != self.dim:
            raise ValueError(f"x_t must be (B, {self.dim}); got {tuple(x_t.shape)}")
        if tokens is not None or image is not None or (vector is None) != (self.vector_dim == 0):
            raise ValueError(f"this network takes a vector of width {self.vector_dim} (0: none), no tokens and no image")
        emb = self.time(t)
        if self.vector is not None and vector is not None:
            emb = emb + self.vector(vector)
        h = self.first(x_t)
        for inner, outer in zip(self.inner, self.outer, strict=True):
            h = h + outer(self.act(inner(self.act(h)) + emb))
        out: Tensor = self.last(self.act(h))
        return out


class Gained(nn.Module):
    """a(t) x_t + (1 + b(t)) network(x_t, t): for each number two gains, which depend on the time alone and begin at 0.

    What needs no thought needs no network: near t = 0 an eps or v is x_t minus a constant wherever the data hardly vary, many times
    enlarged, which sums of t and x_t find hard to say. Same arguments as `MLP`. Checked by tests/test_nn.py.
    """

    def __init__(self, network: MLP) -> None:
        super().__init__()
        self.network, self.vector_dim = network, network.vector_dim
        self.gains = nn.Linear(network.first.out_features, 2 * network.dim)
        nn.init.zeros_(self.gains.weight)
        nn.init.zeros_(self.gains.bias)

    def forward(
        self, x_t: Tensor, t: Tensor, vector: Tensor | None = None, tokens: Tensor | None = None, image: Tensor | None = None
    ) -> Tensor:
        out = self.network(x_t, t, vector, tokens, image)
        a, b = self.gains(self.network.time(t)).chunk(2, 1)
        made: Tensor = a * x_t + (1 + b) * out
        return made


def count_parameters(network: nn.Module) -> int:
    """The number of numbers in a network's weights, frozen ones too."""
    return sum(p.numel() for p in network.parameters())


__all__ = ["MLP", "Gained", "count_parameters"]
