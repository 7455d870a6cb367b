r"""The host as its own scorer: where its middle layers look when they read the question.

The host reads a sketch of every step, two tokens each, then a sentence that asks nothing
in particular, then the question. With the attention ``A`` from a row of words to the
tokens of a step, averaged over heads, layers of the middle third and rows,

.. math::
    s_t = \tau \log \frac{A(\text{question}, t)}{A(\text{neutral}, t)}, \qquad \tau = 0.02

Tokens that everything attends to, as models have them at the start and elsewhere, and the
pull of places near the question are in both and cancel. ``\tau`` is the temperature at
which similarities become weights, so that a weight is the quotient itself.

Only the rows of words are computed, ``[heads, rows, tokens]``, never a whole map, and no
layer above the middle is run.

Letters: S steps, N tokens a step, L prompt tokens, R rows, A heads.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from dynfocus.focus.tokens import NUM_ROD_TOKENS
from dynfocus.methods import KeptStep
from dynfocus.methods.selectors.cones_and_rods import TEMPERATURE
from dynfocus.methods.spending import QuestionSimilarity, merge_steps
from dynfocus.models.video_language_model import CACHE_NAME
from dynfocus.plugins.family import Family, HostFeatures
from dynfocus.plugins.host_prompts import fill

HOST = "host"
"""The name of this scorer."""
NEUTRAL = "Describe the video."
"""What is asked before the question, as a baseline."""
_TINY = 1e-9
_hooks = threading.Lock()


class HostScorer:
    """Compare an encoded video with a question by the attention of the host itself.

    Args:
        family: The host.
        layers: Numbers of the layers that are looked at; the middle third by default.

    Raises:
        ValueError: Its language model has no attention that could be read so.
    """

    def __init__(self, family: Family, layers: Sequence[int] | None = None) -> None:
        self.family = family
        self._language_model = _language_model(family)
        found = getattr(self._language_model, "layers", None)
        count = len(found) if found is not None else 0
        chosen = range(count // 3, max(count // 3 + 1, 2 * count // 3))
        self.layers = tuple(chosen if layers is None else layers)
        attentions: list[Any] = [getattr(one, "self_attn", None) for one in found or ()]
        if not all(hasattr(one, "q_proj") for one in attentions) or not attentions:
            raise ValueError(
                f"scorer 'host' cannot read the attention of a {family.model_types[0]} "
                "model; name a dual encoder such as CLIP, or none"
            )
        self._attentions = [attentions[place] for place in self.layers]

    @torch.inference_mode()
    def compare(self, video: HostFeatures, question: str) -> QuestionSimilarity:
        """Compare the steps of a video with a question.

        Args:
            video: The video, whole.
            question: The question.
        """
        kept = _sketch(video)
        words = f"{NEUTRAL} {question.strip()}"
        turn = fill(self.family, [(video, kept)], words)
        one = torch.tensor([0])
        alone = fill(self.family, [(video.take(one), kept[:1])], NEUTRAL)
        neutral, asked = _rows(turn, alone)
        attention = self._read(turn, torch.cat([neutral, asked]))
        visual = attention[:, turn.is_visual[0].to(attention.device)]
        visual = visual[:, : sum(len(step.places) for step in kept)]  # not the tail
        lengths = [len(step.places) for step in kept]
        steps = torch.stack(
            [part.sum(1) for part in torch.split(visual, lengths, 1)], 1
        )
        before = steps[: len(neutral)].mean(0)
        after = steps[len(neutral) :].mean(0)
        quotient = (after + _TINY) / (before + _TINY)
        return QuestionSimilarity(whole=TEMPERATURE * quotient.log(), tokens=None)

    def _read(self, turn: Any, rows: Tensor) -> Tensor:
        """Give the attention of some rows to all tokens, ``[R, L]``."""
        found: list[Tensor] = []
        last = self._attentions[-1]
        with self.family.prefill(turn.is_visual, turn.layers) as given:
            cache = given.get(CACHE_NAME)
            if cache is None:
                cache = DynamicCache(config=self._language_model.config)

            def note(module: Any, arguments: Any, named: Any, output: Any) -> None:
                if named.get(CACHE_NAME) is not cache:
                    return  # a prompt of another thread
                hidden = arguments[0] if arguments else named["hidden_states"]
                keys = cache.layers[module.layer_idx].keys
                found.append(row_attention(module, hidden, keys, rows, named))
                if module is last:
                    raise _Enough

            with _hooks:
                handles = [
                    one.register_forward_hook(note, with_kwargs=True)
                    for one in self._attentions
                ]
            try:
                self._language_model(
                    inputs_embeds=turn.embeds,
                    attention_mask=turn.attention_mask,
                    position_ids=turn.position_ids,
                    use_cache=True,
                    **{CACHE_NAME: cache},
                )
            except _Enough:
                pass
            finally:
                with _hooks:
                    for handle in handles:
                        handle.remove()
        return torch.stack(found).mean(0)


class _Enough(Exception):  # noqa: N818 nothing went wrong
    """What was wanted of the host is there."""


def row_attention(
    attention: nn.Module, hidden: Tensor, keys: Tensor, rows: Tensor, named: Any
) -> Tensor:
    """Compute the attention of some rows, averaged over heads.

    Args:
        attention: The attention of a layer.
        hidden: What it read, ``[1, L, H]``.
        keys: Its keys, with their positions, ``[1, key heads, L, head width]``.
        rows: The rows, ``[R]``.
        named: What else it was called with: ``position_embeddings``.

    Returns:
        Shares of all tokens up to each row, ``[R, L]``, float32.
    """
    layer: Any = attention
    rows = rows.to(hidden.device)
    shape = (1, len(rows), -1, keys.shape[-1])
    queries = layer.q_proj(hidden[:, rows]).view(shape)
    if hasattr(layer, "q_norm"):
        queries = layer.q_norm(queries)
    queries = queries.transpose(1, 2)  # [1, A, R, D]
    cos, sin = (part[:, rows] for part in named["position_embeddings"])
    rotate = sys.modules[type(layer).__module__].apply_rotary_pos_emb
    queries, _ = rotate(queries, queries, cos, sin)
    groups = queries.shape[1] // keys.shape[1]
    keys = keys.repeat_interleave(groups, dim=1)
    logits = (queries @ keys.transpose(2, 3))[0].float() * layer.scaling
    later = torch.arange(keys.shape[2], device=rows.device) > rows[:, None]
    shares: Tensor = logits.masked_fill(later, -torch.inf).softmax(-1).mean(0)
    return shares


def _sketch(video: HostFeatures) -> list[KeptStep]:
    """Sketch every step as a Rod; the question has no say yet."""
    shares = [min(NUM_ROD_TOKENS, video.tokens_per_step)] * video.num_steps
    return [
        KeptStep(kind="rod", score=0.0, places=places, weights=weights)
        for places, weights in merge_steps(video, shares, None)
    ]


def _rows(turn: Any, alone: Any) -> tuple[Tensor, Tensor]:
    """Find the rows of the neutral sentence and of the question behind it.

    Args:
        turn: The prompt of both.
        alone: The prompt of the neutral sentence, about less of the video.
    """
    ids, other = turn.input_ids[0].tolist(), alone.input_ids[0].tolist()
    start = int(turn.is_visual[0].nonzero()[-1]) + 1
    shift = start - (int(alone.is_visual[0].nonzero()[-1]) + 1)
    first = start
    while first - shift < len(other) and ids[first] == other[first - shift]:
        first += 1
    if first == start:
        raise ValueError(
            "the prompt has no words behind the video by which scorer 'host' could tell "
            "the question; name a dual encoder such as CLIP, or none"
        )
    last = len(ids)
    while last > first + 1 and ids[last - 1] == other[last - len(ids) - 1]:
        last -= 1
    return torch.arange(start, first), torch.arange(first, last)


def _language_model(family: Family) -> Any:
    inner = getattr(family.model, "model", family.model)
    for name in ("language_model", "text_model"):
        if hasattr(inner, name):
            return getattr(inner, name)
    return inner
