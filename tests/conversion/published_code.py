"""What the published code computes, told in loops over its own tensor names.

Written from the description of its behaviour, in evaluation and without its bugs in
precision and noise. Each function takes the weights of a checkpoint by their published
names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Weights = dict[str, Tensor]


def linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def norm(weights: Weights, name: str, x: Tensor, eps: float) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = (x - mean).square().mean(-1, keepdim=True)
    scaled = (x - mean) / (variance + eps).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def attention(query: Tensor, key: Tensor, value: Tensor, num_heads: int) -> Tensor:
    width = query.shape[1] // num_heads
    heads = []
    for head in range(num_heads):
        part = slice(head * width, (head + 1) * width)
        logits = query[:, part] @ key[:, part].T / math.sqrt(width)
        heads.append(logits.softmax(1) @ value[:, part])
    return torch.cat(heads, dim=1)


def tower(weights: Weights, frame: Tensor, num_heads: int) -> Tensor:
    """Encode one frame ``[3, H, W]``: EVA's blocks, the class token first, no norm."""
    start = "model.vision_tower.vision_tower."
    kernel = weights[f"{start}patch_embed.proj.weight"]
    side = kernel.shape[2]
    patches = []
    for top in range(0, frame.shape[1], side):
        for left in range(0, frame.shape[2], side):
            patch = frame[:, top : top + side, left : left + side]
            patches.append((kernel * patch).sum((1, 2, 3)))
    patches = torch.stack(patches) + weights[f"{start}patch_embed.proj.bias"]
    x = torch.cat([weights[f"{start}cls_token"][0], patches])
    x = x + weights[f"{start}pos_embed"][0]
    number = 0
    while f"{start}blocks.{number}.norm1.weight" in weights:
        block = f"{start}blocks.{number}"
        inner = norm(weights, f"{block}.norm1", x, 1e-6)
        query, key, value = (
            inner @ part.T for part in weights[f"{block}.attn.qkv.weight"].chunk(3)
        )
        query = query + weights[f"{block}.attn.q_bias"]
        value = value + weights[f"{block}.attn.v_bias"]
        mixed = attention(query, key, value, num_heads)
        x = x + linear(weights, f"{block}.attn.proj", mixed)
        inner = norm(weights, f"{block}.norm2", x, 1e-6)
        inner = F.gelu(linear(weights, f"{block}.mlp.fc1", inner))
        x = x + linear(weights, f"{block}.mlp.fc2", inner)
        number += 1
    return x


def qformer(
    weights: Weights, words: Sequence[int], seen: Tensor | None, num_heads: int
) -> Tensor:
    """Read words, and with ``seen`` let the queries look at one frame.

    Returns:
        The queries' answers if something is seen, else those of the words.
    """
    start = "model.vlm_att_encoder.bert."
    text = torch.stack(
        [
            weights[f"{start}embeddings.word_embeddings.weight"][word]
            + weights[f"{start}embeddings.position_embeddings.weight"][place]
            for place, word in enumerate(words)
        ]
    )
    num_queries = 0
    if seen is not None:
        queries = weights["model.vlm_att_query"][0]
        num_queries = len(queries)
        text = torch.cat([queries, text])
    x = norm(weights, f"{start}embeddings.LayerNorm", text, 1e-12)
    number = 0
    while f"{start}encoder.layer.{number}.output.dense.weight" in weights:
        layer = f"{start}encoder.layer.{number}"
        x = bert_attention(weights, f"{layer}.attention", x, x, num_heads)
        queries, text = x[:num_queries], x[num_queries:]
        if seen is not None and number % 2 == 0:
            queries = bert_attention(
                weights, f"{layer}.crossattention", queries, seen, num_heads
            )
        queries = bert_feed_forward(weights, layer, "_query", queries)
        text = bert_feed_forward(weights, layer, "", text)
        x = torch.cat([queries, text])
        number += 1
    return x if seen is None else x[:num_queries]


def bert_attention(
    weights: Weights, name: str, x: Tensor, context: Tensor, num_heads: int
) -> Tensor:
    mixed = attention(
        linear(weights, f"{name}.self.query", x),
        linear(weights, f"{name}.self.key", context),
        linear(weights, f"{name}.self.value", context),
        num_heads,
    )
    mixed = linear(weights, f"{name}.output.dense", mixed)
    return norm(weights, f"{name}.output.LayerNorm", mixed + x, 1e-12)


def bert_feed_forward(weights: Weights, layer: str, kind: str, x: Tensor) -> Tensor:
    inner = F.gelu(linear(weights, f"{layer}.intermediate{kind}.dense", x))
    inner = linear(weights, f"{layer}.output{kind}.dense", inner)
    return norm(weights, f"{layer}.output{kind}.LayerNorm", inner + x, 1e-12)


def pool(patches: Tensor, target: int) -> Tensor:
    """Average the cells of a ``target`` x ``target`` grid."""
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
            rows.append(torch.stack(members).mean(0))
    return torch.stack(rows)


def cluster(x: Tensor, num_centers: int, num_neighbors: int) -> list[int]:
    """Cluster points around density peaks; return the cluster of each."""
    count, width = x.shape
    distance = [
        [float((x[i] - x[j]).norm()) / math.sqrt(width) for j in range(count)]
        for i in range(count)
    ]
    density = []
    for i in range(count):
        nearest = sorted(distance[i])[:num_neighbors]
        density.append(math.exp(-sum(d * d for d in nearest) / num_neighbors))
    largest = max(max(row) for row in distance)
    score = []
    for i in range(count):
        denser = [
            distance[i][j]
            for j in range(count)
            if (density[j], -j) > (density[i], -i)  # the index in place of noise
        ]
        score.append(density[i] * (min(denser) if denser else largest))
    centers = sorted(range(count), key=lambda i: -score[i])[:num_centers]
    owner = []
    for i in range(count):
        to_centers = [distance[i][center] for center in centers]
        owner.append(to_centers.index(min(to_centers)))
    for number, center in enumerate(centers):
        owner[center] = number
    return owner


def merge(
    weights: Weights, patches: Tensor, sizes: Sequence[int], neighbors: Sequence[int]
) -> Tensor:
    """Merge the patches of one frame twice, weigh the clusters, and group them."""
    fine_owner = cluster(patches, sizes[0], neighbors[0])
    fine = means(patches, fine_owner, sizes[0])
    coarse_owner = cluster(fine, sizes[1], neighbors[1])
    coarse = means(fine, coarse_owner, sizes[1])
    gate = linear(weights, "merge.score", coarse.mean(1)).softmax(0)
    tokens = []
    for number in range(sizes[1]):
        tokens.append(gate[number] * coarse[number])
        for member, owner in enumerate(coarse_owner):
            if owner == number:
                tokens.append(gate[number] * fine[member])
    return torch.stack(tokens)


def means(x: Tensor, owner: Sequence[int], count: int) -> Tensor:
    rows = []
    for number in range(count):
        members = [x[i] for i, own in enumerate(owner) if own == number]
        rows.append(sum(members[1:], start=members[0]) / (len(members) + 1e-6))
    return torch.stack(rows)


def scores(weights: Weights, events: Sequence[Tensor]) -> Tensor:
    """Score the prototypes from 0 to 1 with the half-global network."""
    net = "selective_net.score_network"
    hidden = []
    for event in events:
        summary = torch.cat([event.mean(0), event.amax(0)])
        summary = norm(weights, f"{net}.in_conv.0", summary, 1e-5)
        hidden.append(F.gelu(linear(weights, f"{net}.in_conv.1", summary)))
    half = len(hidden[0]) // 2
    shared = sum(row[half:] for row in hidden) / len(hidden)
    raw = []
    for row in hidden:
        x = F.gelu(
            linear(weights, f"{net}.out_conv.0", torch.cat([row[:half], shared]))
        )
        x = F.gelu(linear(weights, f"{net}.out_conv.2", x))
        raw.append(linear(weights, f"{net}.out_conv.4", x)[0])
    s = torch.stack(raw)
    return (s - s.min()) / (s.max() - s.min() + 1e-5)


def project(weights: Weights, tokens: Tensor) -> Tensor:
    inner = F.gelu(linear(weights, "model.mm_projector.0", tokens))
    return linear(weights, "model.mm_projector.2", inner)


def context_token(weights: Weights, answers: Tensor, spatial: Tensor) -> Tensor:
    """Let each query of a frame look at its merged tokens; average what they find."""
    keys = linear(weights, "model.vlm_att_key_projector", spatial)
    found = []
    for answer in answers:
        query = linear(weights, "model.vlm_att_projector", answer)
        logits = torch.stack([query @ key for key in keys]) / math.sqrt(len(query))
        found.append((logits.softmax(0)[:, None] * spatial).sum(0))
    return linear(weights, "model.vlm_att_val_projector", torch.stack(found).mean(0))


def video_tokens(
    weights: Weights,
    frames: Tensor,
    words: Sequence[int],
    *,
    num_tower_heads: int,
    num_qformer_heads: int,
    pooled_side: int,
    sizes: Sequence[int],
    neighbors: Sequence[int],
) -> tuple[Tensor, list[int]]:
    """Turn a video of at most 80 frames into tokens; say which frames are key frames."""
    pooled, spatial, answers = [], [], []
    for frame in frames:
        hidden = tower(weights, frame, num_tower_heads)
        seen = norm(weights, "model.vlm_att_ln", hidden, 1e-6)
        answers.append(qformer(weights, words, seen, num_qformer_heads))
        pooled.append(pool(hidden[1:], pooled_side))
        spatial.append(merge(weights, hidden[1:], sizes, neighbors))
    value = scores(weights, pooled)
    num_keys = math.ceil(0.45 * len(frames))
    best = sorted(range(len(frames)), key=lambda t: -float(value[t]))[:num_keys]
    tokens = []
    for t in range(len(frames)):
        content = project(weights, spatial[t].mean(0))
        context = context_token(weights, answers[t], spatial[t])
        fine = project(weights, torch.cat([pooled[t], spatial[t]]))
        if t not in best or len(frames) == 1:
            tokens += [content, context]
        if t in best:
            tokens += list(fine)
    return torch.stack(tokens), sorted(best)
