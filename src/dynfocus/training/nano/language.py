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
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset
from transformers import (
    Lfm2Config,
    Lfm2ForCausalLM,
    PreTrainedTokenizerFast,
)

from dynfocus.models.prompts import VIDEO_TOKEN
from dynfocus.training.labels import IGNORED, encode_conversation, pad_samples
from dynfocus.training.loop import Job
from dynfocus.training.recipe import Recipe
from dynfocus.validation import Count, Natural, checked
from dynfocus.world.conversations import frame_log, log_conversation
from dynfocus.world.video import NARROW, World
from dynfocus.world.wide import WideQuestion

NUM_SCENES = 400
"""Scenes whose texts the tokenizer learns from."""
_EASY_FRAMES, _EASY_SECONDS, _SECONDS = 6, 40.0, 120.0
_PLAIN = 0.1
"""Share of conversations in plain words, once they are not easy any more."""
_TEXT_WEIGHT = 0.3
"""How much the words that are no answer count: logs repeat themselves, and to foretell
them is to learn to look back."""
SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", VIDEO_TOKEN)


@checked
class LanguageData:
    """Conversations about written logs."""

    max_frames: Count = 48
    """Frames of a log at most."""
    num_questions: Count = 8
    """Questions of a conversation at most."""
    wide: bool = False
    """Whether logs and wordings are of the widened world."""
    easy_samples: Natural = 0
    """So many conversations at the start are easy: six frames of at most 40 seconds, and
    plain words. Over twice as many more they become what the other settings say."""


@checked
class LanguageShape:
    """How large the language model is."""

    vocab_size: Count = 640
    """Tokens of the vocabulary."""
    hidden_size: Count = 256
    """Width; the feed-forward layers have 8/3 of it."""
    num_hidden_layers: Count = 6
    """Layers, in turn a short convolution and attention."""
    num_attention_heads: Count = 4
    """Heads of attention."""


@checked
class LanguageRecipe(Recipe):
    """A run of task ``language``: tokenizer and language model from nothing."""

    task: Literal["language"]
    """The name of the task."""
    data: LanguageData = LanguageData()
    """What it learns from."""
    model: LanguageShape = LanguageShape()
    """What learns."""


class LogDataset(Dataset[dict[str, Tensor]]):
    """Conversations about written logs, drawn on demand, the same for the same number.

    The first are easy, if ``data.easy_samples`` says so.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        seed: int,
        num_samples: int,
        data: LanguageData,
    ) -> None:
        self.tokenizer = tokenizer
        self.seed = seed
        self.num_samples = num_samples
        self.data = data

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        data = self.data
        easy = data.easy_samples
        grown = min(1.0, max(0.0, (number - easy) / (2 * easy))) if easy else 1.0
        turns = log_conversation(
            self.seed * 10_000_000 + number,
            round(_EASY_FRAMES + grown * (data.max_frames - _EASY_FRAMES)),
            data.num_questions,
            World(wide=data.wide),
            longest=_EASY_SECONDS + grown * (_SECONDS - _EASY_SECONDS),
            plain=1 - (1 - _PLAIN) * grown,
        )
        return encode_conversation(self.tokenizer, turns)


def train_tokenizer(
    num_scenes: int | None = None, vocab_size: int = 640, world: World = NARROW
) -> PreTrainedTokenizerFast:
    """Learn a byte-level BPE from FocusWorld's texts: any text can be read.

    Digits stay single tokens, so times and counts are read digit by digit.
    """
    texts = []
    for seed in range(num_scenes or NUM_SCENES):
        scene = world.scene(seed, 60.0 + seed % 60, "train")
        for question in world.questions(scene):
            texts.append(f"{question.question}\n{question.answer}")
            if isinstance(question, WideQuestion):
                texts += [w.text for w in question.wordings if not w.held_out]
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


def default_language_config(
    tokenizer: PreTrainedTokenizerFast, shape: LanguageShape | None = None
) -> Lfm2Config:
    """Return the shape of the nano language model: LFM2's, small."""
    shape = shape or LanguageShape()
    layers = ["conv", "full_attention"] * shape.num_hidden_layers
    return Lfm2Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        intermediate_size=shape.hidden_size * 8 // 3,
        block_auto_adjust_ff_dim=False,
        num_hidden_layers=shape.num_hidden_layers,
        layer_types=layers[: shape.num_hidden_layers],
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_attention_heads,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


class LogReader(nn.Module):
    """A language model whose loss counts answers, and a little every other word.

    Args:
        model: The language model.
    """

    def __init__(self, model: Lfm2ForCausalLM) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: Tensor,
        labels: Tensor,
        num_items_in_batch: Tensor | int | None = None,
    ) -> dict[str, Tensor]:
        """Compute the losses of padded conversations.

        Args:
            input_ids: Tokens, ``[B, S]``, padded at the end.
            labels: The same where answers are, else ``IGNORED``.
            num_items_in_batch: Answers' tokens of the whole step, where batches add up.

        Returns:
            ``loss`` and its parts, ``answer_loss`` and ``text_loss``.
        """
        hidden = self.model.model(input_ids=input_ids).last_hidden_state[:, :-1]
        words, wanted = input_ids[:, 1:], labels[:, 1:]
        is_answer = wanted != IGNORED
        is_text = ~is_answer & (words != self.model.config.pad_token_id)
        losses = [
            cross_entropy(self.model.lm_head(hidden[of]).float(), words[of])
            for of in (is_answer, is_text)
        ]
        share = (
            1.0 if num_items_in_batch is None else is_answer.sum() / num_items_in_batch
        )
        answer, text = (share * loss for loss in losses)
        return {
            "loss": answer + _TEXT_WEIGHT * text,
            "answer_loss": answer,
            "text_loss": text,
        }


def make_language_job(recipe: LanguageRecipe) -> Job:
    """Build the job of task ``language``: tokenizer and language model from scratch."""
    num_samples = recipe.schedule.num_samples()
    world = World(wide=recipe.data.wide)
    tokenizer = train_tokenizer(None, recipe.model.vocab_size, world)

    def finish(trained: nn.Module, output: Path) -> None:
        assert isinstance(trained, LogReader)
        trained.model.float().cpu().save_pretrained(output / "language_model")
        tokenizer.save_pretrained(output / "language_model")

    model = Lfm2ForCausalLM(default_language_config(tokenizer, recipe.model))
    return Job(
        model=LogReader(model),
        dataset=LogDataset(tokenizer, recipe.seed, num_samples, recipe.data),
        finish=finish,
        collator=partial(pad_samples, pad_id=int(tokenizer.pad_token_id)),
        in_order=True,
    )
