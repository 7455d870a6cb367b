"""Teach the nano language model FocusWorld's language, before it sees anything.

The paper starts from Vicuna, which can read. Nano's language model learns to read from
written logs of FocusWorld scenes, one mark a frame, and questions about them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from dynfocus.models.dynfocus.prompts import VIDEO_TOKEN
from dynfocus.training.conversation import encode_conversation, pad_samples
from dynfocus.training.loop import Job
from dynfocus.training.packing import pack_samples, plan_rows
from dynfocus.training.recipe import Recipe
from dynfocus.world.questions import make_questions
from dynfocus.world.scene import Scene, make_scene

SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", VIDEO_TOKEN)
FRAME_MARK = "|"


def frame_log(scene: Scene, times: np.ndarray[Any, Any]) -> str:
    """Write down what is in view at each time: a mark a frame, then its objects.

    The room stands at the front whenever it changes.
    """
    parts: list[str] = []
    room = ""
    for seconds in times:
        parts.append(FRAME_MARK)
        now = next(r.name for r in scene.rooms if seconds < r.end)
        if now != room:
            parts.append(f" the {now}")
            room = now
        parts += [f" {a.name}" for a in scene.anomalies if a.start <= seconds < a.end]
        for visit in scene.visits:
            if visit.start <= seconds < visit.end:
                thing = scene.cast[visit.object_index]
                parts.append(f" {thing.size} {thing.name} {thing.letter}")
    return "".join(parts)


def log_conversation(
    seed: int, max_frames: int, num_questions: int
) -> list[tuple[str, str]]:
    """Return questions and answers about a scene, its log before the first question."""
    rng = np.random.default_rng([31, seed])
    duration = float(np.exp(rng.uniform(np.log(10), np.log(120))))
    scene = make_scene(seed, duration, "train")
    num_frames = int(min(max_frames, max(6, duration * rng.uniform(0.4, 1.0))))
    log = frame_log(scene, (np.arange(num_frames) + 0.5) * duration / num_frames)
    asked = [
        q
        for q in make_questions(scene)
        if q.kind not in ("when", "direction") and len(q.answer) < 120
    ]
    picked = [asked[i] for i in rng.permutation(len(asked))[:num_questions]]
    turns = [(q.question, q.answer) for q in picked]
    return [(f"{log}\n{turns[0][0]}", turns[0][1]), *turns[1:]]


class LogDataset(Dataset[dict[str, Tensor]]):
    """Conversations about written logs, drawn on demand, the same for the same number."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        seed: int,
        num_samples: int,
        max_frames: int = 48,
        num_questions: int = 8,
    ) -> None:
        self.tokenizer = tokenizer
        self.seed = seed
        self.num_samples = num_samples
        self.max_frames = max_frames
        self.num_questions = num_questions

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        turns = log_conversation(
            self.seed * 10_000_000 + number, self.max_frames, self.num_questions
        )
        return encode_conversation(self.tokenizer, turns)


def train_tokenizer(
    num_scenes: int = 400, vocab_size: int = 640
) -> PreTrainedTokenizerFast:
    """Learn a byte-level BPE from FocusWorld's texts: any text can be read.

    Digits stay single tokens, so times and counts are read digit by digit.
    """
    texts = []
    for seed in range(num_scenes):
        scene = make_scene(seed, 60.0 + seed % 60, "train")
        texts += [f"{q.question}\n{q.answer}" for q in make_questions(scene)]
        texts.append(frame_log(scene, np.arange(0.0, scene.duration, 2.0)))
    texts.append(" ".join("USER: ASSISTANT:" for _ in range(50)))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    bos = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", bos)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=[VIDEO_TOKEN],
        model_max_length=8192,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def default_language_config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """Return the shape of the nano language model."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=6,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def make_language_job(recipe: Recipe) -> Job:
    """Build the job of task ``language``: tokenizer and language model from scratch."""
    known = {"max_frames", "num_questions", "packed_tokens"}
    unknown = set(recipe.model) | (set(recipe.data) - known)
    if unknown or recipe.start:
        raise ValueError(
            f"task language takes data settings {', '.join(sorted(known))} only, "
            f"got {sorted(unknown) or dict(recipe.start)}"
        )
    settings = {name: int(value) for name, value in recipe.data.items()}
    packed_tokens = settings.pop("packed_tokens", None)
    tokenizer = train_tokenizer()
    model = LlamaForCausalLM(default_language_config(tokenizer))
    plan = recipe.schedule
    dataset = LogDataset(tokenizer, recipe.seed, plan.num_samples(), **settings)

    def finish(trained: nn.Module, output: Path) -> None:
        assert isinstance(trained, LlamaForCausalLM)
        trained.float().cpu().save_pretrained(output / "language_model")
        tokenizer.save_pretrained(output / "language_model")

    return Job(
        model=model,
        dataset=dataset,
        finish=finish,
        collator=partial(
            _collate, pad_id=int(tokenizer.pad_token_id), packed_tokens=packed_tokens
        ),
    )


def _collate(
    samples: Sequence[dict[str, Tensor]], *, pad_id: int, packed_tokens: int | None
) -> dict[str, Any]:
    if packed_tokens is None:
        return dict(pad_samples(samples, pad_id))
    lengths = [len(sample["input_ids"]) for sample in samples]
    return pack_samples(samples, plan_rows(lengths, packed_tokens), pad_id)
