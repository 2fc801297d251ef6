"""Parts that sequence networks share: time buckets, causal masks, attention blocks, a gated linear recurrence.

Shapes: B sequences, L positions (oldest first, left-aligned, so that a causal network never sees padding), D width,
H heads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from everbrook.features.moments import gap_edges_ms

HIDDEN = -1e9
"""What is added to the score of a position that must not be seen; finite, so that no row is ever all NaN."""


def gap_buckets(gaps_ms: Tensor, buckets: int) -> Tensor:
    """`features.moments.gap_codes` of a tensor: its edges, where the tensor lies.

    Args:
        gaps_ms: any shape, int64.
        buckets: how many codes there are.
    """
    return torch.bucketize(gaps_ms, torch.from_numpy(gap_edges_ms(buckets)).to(gaps_ms.device))


def causal(length: int, like: Tensor) -> Tensor:
    """(L, L): 0 where a position (row) may see another (column), HIDDEN where that lies ahead."""
    return torch.full((length, length), HIDDEN, dtype=like.dtype, device=like.device).triu(1)


def dropout(x: Tensor, share: float, training: bool) -> Tensor:
    """Set a share of numbers to zero and scale up the rest; the share is rounded to 1/256.

    One random byte a number, eight bytes a draw: on a CPU about ten times cheaper than torch's dropout, which was
    a tenth of a training step.
    """
    border = round(share * 256)
    if not training or border == 0:
        return x
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device).random_(-(1 << 63), None)
    kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= border
    return x * kept.to(x.dtype).mul_(256 / (256 - border))


class _Lookup(torch.autograd.Function):
    """Rows of a small table by code, (codes...) -> (codes..., H), with a gradient by counting instead of scatter."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, table: Tensor, codes: Tensor) -> Tensor:
        ctx.save_for_backward(codes)
        ctx.rows = len(table)  # type: ignore[attr-defined]
        return table[codes]

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        (codes,) = ctx.saved_tensors  # type: ignore[attr-defined]
        flat, rows = codes.reshape(-1), ctx.rows  # type: ignore[attr-defined]
        grad = grads[0].reshape(len(flat), -1)
        sums = [torch.bincount(flat, grad[:, h].contiguous(), minlength=rows) for h in range(grad.shape[1])]
        return torch.stack(sums, 1).to(grad.dtype), None


class RelativeBias(nn.Module):
    """What distance in places and in time adds to a head's attention (HSTU, Zhai et al. 2024, section 3.2)."""

    def __init__(self, heads: int, history: int, time_buckets: int) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(history, heads))
        self.time = nn.Parameter(torch.zeros(time_buckets, heads)) if time_buckets else None

    def forward(self, gaps: Tensor | None, length: int) -> Tensor:
        """Bias of every pair.

        Args:
            gaps: (B, L, L) bucket of the time between two positions, or None to leave time out.
            length: L.

        Returns:
            (1 or B, H, L, L).
        """
        places = torch.arange(length, device=self.place.device)
        apart = (places[:, None] - places).clamp(min=0, max=len(self.place) - 1)
        bias = self.place[apart].permute(2, 0, 1)[None]
        if gaps is None or self.time is None:
            return bias
        return bias + _Lookup.apply(self.time, gaps).permute(0, 3, 1, 2)  # type: ignore[no-untyped-call]


def _silence(*layers: nn.Linear) -> None:
    """Let a block begin by adding nothing, so that a state begins as the vector of its last item."""
    for layer in layers:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)


class AttentionBlock(nn.Module):
    """Pre-norm causal self-attention and a feed-forward part (SASRec, Kang & McAuley 2018, with a relative bias)."""

    def __init__(self, width: int, heads: int, dropout: float, bias: RelativeBias) -> None:
        super().__init__()
        self.heads, self.dropout, self.bias = heads, dropout, bias
        self.norm, self.norm_wide = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        _silence(self.out, self.narrow)

    def forward(self, x: Tensor, gaps: Tensor | None, mask: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D); `gaps` as in RelativeBias, `mask` as from `causal`."""
        B, L, D = x.shape
        heads = self.project(self.norm(x)).view(B, L, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = heads[0] / math.sqrt(D // self.heads), heads[1], heads[2]  # (B, H, L, D / H)
        seen = query @ key.transpose(-1, -2) + (self.bias(gaps, L) + mask)
        mixed = dropout(seen.softmax(-1), self.dropout, self.training) @ value
        x = x + dropout(self.out(mixed.transpose(1, 2).reshape(B, L, D)), self.dropout, self.training)
        wide = dropout(functional.relu(self.widen(self.norm_wide(x))), self.dropout, self.training)
        return x + dropout(self.narrow(wide), self.dropout, self.training)


class PointwiseBlock(nn.Module):
    """HSTU's block: SiLU in place of softmax, so that how much was seen counts, and a gate in place of a feed-forward.

    Source: Zhai et al., Actions Speak Louder than Words, 2024, equations 1-4; the sum is divided by the count of
    visible positions instead of the fixed length, so that padding changes nothing.
    """

    def __init__(self, width: int, heads: int, dropout: float, bias: RelativeBias) -> None:
        super().__init__()
        self.heads, self.dropout, self.bias = heads, dropout, bias
        self.norm, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.out = nn.Linear(width, 4 * width), nn.Linear(width, width)
        _silence(self.out)

    def forward(self, x: Tensor, gaps: Tensor | None, mask: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D); `gaps` as in RelativeBias, `mask` as from `causal`."""
        B, L, D = x.shape
        parts = functional.silu(self.project(self.norm(x))).view(B, L, 4, D)
        query, key, value = (parts[:, :, k].view(B, L, self.heads, -1).transpose(1, 2) for k in range(3))
        query = query / math.sqrt(D // self.heads)
        seen = functional.silu(query @ key.transpose(-1, -2) + self.bias(gaps, L))
        seen = seen.masked_fill(mask < 0, 0.0) / torch.arange(1, L + 1, device=x.device, dtype=x.dtype)[:, None]
        mixed = self.norm_out((seen @ value).transpose(1, 2).reshape(B, L, D)) * parts[:, :, 3]
        return x + self.out(dropout(mixed, self.dropout, self.training))


class _Scan(torch.autograd.Function):
    """State of h[t] = keep[t] * h[t-1] + add[t], from zero: (B, L, D) twice to (B, L, D)."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, keep: Tensor, add: Tensor) -> Tensor:
        states = add.clone()
        for t in range(1, states.shape[1]):
            states[:, t].addcmul_(keep[:, t], states[:, t - 1])
        ctx.save_for_backward(keep, states)
        return states

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, Tensor]:
        keep, states = ctx.saved_tensors  # type: ignore[attr-defined]
        add = grads[0].clone()
        for t in range(add.shape[1] - 2, -1, -1):
            add[:, t].addcmul_(keep[:, t + 1], add[:, t + 1])
        kept = torch.zeros_like(keep)
        kept[:, 1:] = add[:, 1:] * states[:, :-1]
        return kept, add


def scan(keep: Tensor, add: Tensor) -> Tensor:
    """Run h[t] = keep[t] * h[t-1] + add[t] along the second axis, from h = 0."""
    return _Scan.apply(keep, add)  # type: ignore[no-untyped-call]


class RecurrentBlock(nn.Module):
    """A gated linear recurrence whose forgetting depends on the event and on the time since the last one.

    Source: the gates of HGRN (Qin et al. 2023) with a bias by time gap; no mixing of state numbers over time, so
    that training is a scan and serving is one step of O(D^2).
    """

    def __init__(self, width: int, dropout: float, time_buckets: int) -> None:
        super().__init__()
        self.dropout = dropout
        self.norm, self.norm_state, self.norm_wide = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        _silence(self.out, self.narrow)
        self.remember = nn.Parameter(torch.linspace(-1.0, 3.0, width))  # from a half to twenty events
        self.time = nn.Parameter(torch.zeros(max(1, time_buckets), width))

    def forward(self, x: Tensor, gaps: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D); `gaps` is (B, L), the bucket of the time since the event before."""
        keep, add, gate = self._gates(x, gaps)
        return self._after(x, scan(keep, add), gate)

    def step(self, state: Tensor, x: Tensor, gaps: Tensor) -> tuple[Tensor, Tensor]:
        """One new event: state (B, D), x (B, D), gaps (B,) to the new state and output, (B, D) each."""
        keep, add, gate = self._gates(x, gaps)
        state = keep * state + add
        return state, self._after(x, state, gate)

    def _gates(self, x: Tensor, gaps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        value, forget, gate = self.project(self.norm(x)).chunk(3, -1)
        keep = torch.sigmoid(forget + self.remember + functional.embedding(gaps, self.time))
        return keep, (1 - keep) * value, functional.silu(gate)

    def _after(self, x: Tensor, state: Tensor, gate: Tensor) -> Tensor:
        mixed = self.out(self.norm_state(state) * gate)
        x = x + dropout(mixed, self.dropout, self.training)
        wide = dropout(functional.relu(self.widen(self.norm_wide(x))), self.dropout, self.training)
        return x + dropout(self.narrow(wide), self.dropout, self.training)
