"""Teach the nano language model FocusWorld's language, before it sees anything.

The paper starts from Vicuna, which can read. Nano's language model learns to read from
written logs of FocusWorld scenes, one mark a frame, and questions about them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

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

from dynfocus.models.prompts import VIDEO_TOKEN
from dynfocus.training.labels import encode_conversation, pad_samples
from dynfocus.training.loop import Job
from dynfocus.training.recipe import Recipe
from dynfocus.validation import Count, checked
from dynfocus.world.conversations import frame_log, log_conversation
from dynfocus.world.questions import make_questions
from dynfocus.world.scene import make_scene

NUM_SCENES = 400
"""Scenes whose texts the tokenizer learns from."""
SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", VIDEO_TOKEN)


@checked
class LanguageData:
    """Conversations about written logs."""

    max_frames: Count = 48
    """Frames of a log at most."""
    num_questions: Count = 8
    """Questions of a conversation at most."""


@checked
class LanguageRecipe(Recipe):
    """A run of task ``language``: tokenizer and language model from nothing."""

    task: Literal["language"]
    """The name of the task."""
    data: LanguageData = LanguageData()
    """What it learns from."""


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
    num_scenes: int | None = None, vocab_size: int = 640
) -> PreTrainedTokenizerFast:
    """Learn a byte-level BPE from FocusWorld's texts: any text can be read.

    Digits stay single tokens, so times and counts are read digit by digit.
    """
    texts = []
    for seed in range(num_scenes or NUM_SCENES):
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


def make_language_job(recipe: LanguageRecipe) -> Job:
    """Build the job of task ``language``: tokenizer and language model from scratch."""
    num_samples = recipe.schedule.num_samples()
    tokenizer = train_tokenizer()
    data = recipe.data

    def finish(trained: nn.Module, output: Path) -> None:
        assert isinstance(trained, LlamaForCausalLM)
        trained.float().cpu().save_pretrained(output / "language_model")
        tokenizer.save_pretrained(output / "language_model")

    return Job(
        model=LlamaForCausalLM(default_language_config(tokenizer)),
        dataset=LogDataset(
            tokenizer, recipe.seed, num_samples, data.max_frames, data.num_questions
        ),
        finish=finish,
        collator=partial(pad_samples, pad_id=int(tokenizer.pad_token_id)),
    )
