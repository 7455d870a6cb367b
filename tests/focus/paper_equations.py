"""The paper's equations in loops, from patches and a question to video tokens.

Letters: T frames, N patches, P event tokens, L prototypes, K kept ones, M spatial
prototypes. The network's own layers are used for its matrices alone.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from dynfocus.focus import EventPrototypes, FocusNetwork


def dense_peaks(x: Tensor, num_neighbors: int) -> tuple[list[float], list[list[float]]]:
    """Importance of each point (Eq. 1, 4) and all distances; ``x`` is ``[T, C]``."""
    count, width = x.shape
    far = [[math.sqrt(float((a - b).square().sum()) / width) for b in x] for a in x]
    density = []
    for row in far:
        nearest = sorted(row)[: min(num_neighbors, count)]
        density.append(math.exp(-sum(d**2 for d in nearest) / len(nearest)))
    importance = []
    for i in range(count):
        denser = [
            far[i][j] for j in range(count) if (density[j], -j) > (density[i], -i)
        ]
        delta = min(denser) if denser else max(max(row) for row in far)
        importance.append(density[i] * delta)
    return importance, far


def prototypes(
    x: Tensor, count: int, num_neighbors: int
) -> tuple[Tensor, list[int], list[int]]:
    """Merge points into ``count`` prototypes in the order of their centres (Eq. 5)."""
    importance, far = dense_peaks(x, num_neighbors)
    best = sorted(range(len(x)), key=lambda i: -importance[i])[:count]
    ranks = {center: rank for rank, center in enumerate(best)}
    owner = []
    for i in range(len(x)):
        nearest = min(best, key=lambda c: (far[i][c], ranks[c]))
        owner.append(i if i in best else nearest)
    rows, centers = [], sorted(best)
    for center in centers:
        members = [i for i in range(len(x)) if owner[i] == center]
        weights = [importance[i] for i in members]
        if sum(weights) == 0:
            weights = [1.0] * len(members)
        row = sum(w * x[i] for w, i in zip(weights, members, strict=True))
        rows.append(row / sum(weights))
    return torch.stack(rows), centers, [centers.index(own) for own in owner]


def pooled(patches: Tensor, target: int) -> Tensor:
    """Average a frame's grid over ``target`` x ``target`` cells."""
    side = math.isqrt(len(patches))
    cell = side // target
    rows = []
    for row in range(target):
        for column in range(target):
            members = [
                patches[(row * cell + i) * side + column * cell + j]
                for i in range(cell)
                for j in range(cell)
            ]
            rows.append(sum(members[1:], start=members[0]) / len(members))
    return torch.stack(rows)


def score(events: EventPrototypes, prototype: Tensor) -> Tensor:
    """Score one prototype ``[P, D]`` (Eq. 6)."""
    norms = [float(row.norm()) for row in prototype]
    largest = prototype[norms.index(max(norms))]
    average = sum(prototype[1:], start=prototype[0]) / len(prototype)
    network: Any = events.score_network
    return network.layers(torch.cat([largest, average]))[0]


def spatial_prototypes(patches: Tensor, sizes: Any, neighbors: Any) -> Tensor:
    """Cluster the patches of one frame layer upon layer (S-DPC)."""
    tokens, layers = patches, []
    for size, near in zip(sizes, neighbors, strict=True):
        tokens, _, _ = prototypes(tokens, size, near)
        layers.append(tokens)
    return torch.cat(layers)


def video_tokens(
    network: FocusNetwork, video: Tensor, text: Tensor
) -> tuple[Tensor, list[int]]:
    """Follow Eq. 1-13 for one video ``[T, N, D]`` and its question ``[n, D_q]``."""
    s, encoding = network.settings, network.cooperative_encoding
    frames = torch.stack([pooled(v, math.isqrt(s.num_event_tokens)) for v in video])
    spatial = [
        spatial_prototypes(v, s.num_spatial_prototypes, s.num_spatial_neighbors)
        for v in video
    ]
    m, centers, _ = prototypes(
        frames.flatten(1), min(len(video), s.num_prototypes), s.num_temporal_neighbors
    )
    m = m.unflatten(1, frames.shape[1:])  # [L, P, D]
    raw = [float(score(network.event_prototypes, prototype)) for prototype in m]
    low, high = min(raw), max(raw)
    spread = (high - low) or 1.0  # one score alone has none
    scaled = [(value - low) / spread for value in raw]
    num_kept = math.ceil(s.selection_ratio * len(m) - 1e-9)
    kept = sorted(sorted(range(len(m)), key=lambda i: -scaled[i])[:num_kept])
    slots = {centers[slot]: slot for slot in kept}
    tokens = []
    for t, g in enumerate(spatial):
        if t in slots:  # Eq. 10
            cone = torch.cat([m[slots[t]], g])
            tokens += [encoding.multi_modal_projector(row) for row in cone]
        found = []
        for q in text:  # Eq. 11
            query = encoding.query_projector(q)
            logits = [float(query @ encoding.key_projector(row)) for row in g]
            parts = [math.exp(x / math.sqrt(len(query))) for x in logits]
            found.append(
                sum(p * row for p, row in zip(parts, g, strict=True)) / sum(parts)
            )
        average = sum(found[1:], start=found[0]) / len(found)
        content = sum(g[1:], start=g[0]) / len(g)
        tokens.append(encoding.context_projector(average))  # Eq. 12
        tokens.append(encoding.multi_modal_projector(content))
    return torch.stack(tokens), sorted(slots)
