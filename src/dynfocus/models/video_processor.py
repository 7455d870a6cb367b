"""What all our processors do: prompts with room for video tokens, frames for the model.

Letters: V videos, T frames, B prompts, L text tokens, n question tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoTokenizer, BatchFeature, ProcessorMixin

from dynfocus.focus import TokenBudget, VideoFeatures
from dynfocus.models.prompts import (
    CHAT_TEMPLATE,
    IMAGE_MARK,
    VIDEO_TOKEN,
    Block,
    assign_media,
    pad_ids,
    pad_lists,
    read_media,
    repeat_items,
)
from dynfocus.models.vision import to_pixel_values
from dynfocus.models.visual_inputs import VideoInputs
from dynfocus.text import label_media
from dynfocus.video import SampledFrames

_QUESTION_FOLDER = "qformer_tokenizer"
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class VideoProcessor(ProcessorMixin, ABC):  # type: ignore[misc]
    """Prepare prompts, questions and videos; each kind of model has one that derives.

    The number of video tokens depends on the number of frames and the settings
    alone, so the prompt holds their room before the model runs.

    The arguments are those of `DynFocusProcessor`, without what is DynFocus's own.
    """

    def __init__(
        self,
        tokenizer: Any = None,
        frame_size: int = 224,
        image_mean: Sequence[float] = CLIP_MEAN,
        image_std: Sequence[float] = CLIP_STD,
        fps: float = 1.0,
        max_frames: int | None = None,
        question_first: bool = False,
        single_turn: bool = False,
        asks_openly: bool = False,
        use_question_vocabulary: bool = False,
        chat_template: str | None = None,
    ) -> None:
        if VIDEO_TOKEN not in tokenizer.get_vocab():
            raise ValueError(
                f"the tokenizer does not know {VIDEO_TOKEN}; add it with "
                f"tokenizer.add_tokens('{VIDEO_TOKEN}', special_tokens=True) and resize "
                "the model's embeddings"
            )
        self.frame_size = frame_size
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)
        self.fps = fps
        self.max_frames = max_frames
        self.question_first = question_first
        self.single_turn = single_turn
        self.asks_openly = asks_openly
        self.use_question_vocabulary = use_question_vocabulary
        self.video_token = VIDEO_TOKEN
        self.video_token_id = tokenizer.convert_tokens_to_ids(VIDEO_TOKEN)
        self._qformer_tokenizer: Any = None
        super().__init__(tokenizer, chat_template=chat_template or CHAT_TEMPLATE)

    @property
    @abstractmethod
    def settings(self) -> Any:
        """Give the settings of what stands between tower and language model."""

    @property
    def connector_facts(self) -> dict[str, Any] | None:
        """What it knows of the connector, as the model's configuration."""
        return None

    @abstractmethod
    def budget(self, max_video_tokens: int | None = None) -> TokenBudget:
        """Give what counts the tokens of a video, and fits it into a budget."""

    @property
    def qformer_tokenizer(self) -> Any:
        """Give the tokenizer of the questions."""
        if not self.use_question_vocabulary:
            return self.tokenizer
        if self._qformer_tokenizer is None:
            raise ValueError(
                "use_question_vocabulary is on but there is no tokenizer for questions; "
                "call set_qformer_tokenizer first"
            )
        return self._qformer_tokenizer

    def set_qformer_tokenizer(self, tokenizer: Any) -> None:
        """Give the questions a tokenizer of their own; None takes it away again."""
        self._qformer_tokenizer = tokenizer
        self.use_question_vocabulary = tokenizer is not None

    @property
    def model_input_names(self) -> list[str]:
        """List what a call can give."""
        return ["input_ids", "attention_mask", *VideoInputs.names()]

    def num_video_tokens(self, num_frames: int) -> int:
        """Count the tokens of a block before anything is encoded."""
        return self.budget().plan(num_frames).num_tokens

    def lead_in(self, question: str, label: str = "") -> list[int]:
        """Give the words that stand before the video tokens of a block.

        Args:
            question: The question of the block.
            label: What the video is called, of several; see `label_media`.

        Returns:
            The token ids of the label, and of the question with a newline, the latter
            only with ``question_first``.
        """
        has_question = self.question_first and question
        words = (label, f"{question}\n" if has_question else "")
        encode = self.tokenizer.encode
        return [
            i
            for w in words
            if w
            for i in encode(w, add_special_tokens=False, verbose=False)
        ]

    def prompt_ids(self, text: str, question: str, counts: Sequence[int]) -> Tensor:
        """Tokenise a prompt that shows encoded videos, with room for their tokens.

        Args:
            text: The prompt, ``<video>`` once in it. Of several videos each has a line
                there, behind its number.
            question: The question about the videos.
            counts: The tokens of each video.

        Returns:
            The token ids, shape ``[1, L]``.
        """
        num_marks = text.count(VIDEO_TOKEN)
        if num_marks != 1:
            raise ValueError(
                f"the prompt must hold one {VIDEO_TOKEN}, got {num_marks}; use the "
                "model's own chat template"
            )
        marks = "\n".join([VIDEO_TOKEN] * len(counts))
        token = self.video_token_id
        rooms = iter(
            [*self.lead_in(question, label), *[token] * count]
            for label, count in zip(label_media(len(counts)), counts, strict=True)
        )
        # its own warning of a long prompt would come before the error that says it
        ids = self.tokenizer(text.replace(VIDEO_TOKEN, marks), verbose=False)[
            "input_ids"
        ]
        parts = [next(rooms) if one == token else [one] for one in ids]
        return torch.tensor([[one for part in parts for one in part]])

    def question_ids(self, question: str) -> Tensor:
        """Tokenise a question for the text encoder, ``[1, n]``."""
        ids = self.qformer_tokenizer([question], verbose=False)["input_ids"]
        return torch.tensor(ids)

    def pixel_values(self, frames: NDArray[np.uint8]) -> Tensor:
        """Resize and normalise frames.

        Args:
            frames: Frames of uint8, shape ``[T, H, W, 3]``.

        Returns:
            Pixel values, shape ``[T, 3, frame_size, frame_size]``.
        """
        return to_pixel_values(
            frames,
            frame_size=self.frame_size,
            mean=self.image_mean,
            std=self.image_std,
        )

    def __call__(
        self,
        images: Any = None,
        text: str | Sequence[str] | None = None,
        videos: Any = None,
        audio: None = None,
        *,
        questions: Sequence[Sequence[str]] | Sequence[str] | None = None,
        fps: float | None = None,
        max_frames: int | None = None,
        max_video_tokens: int | None = None,
        padding: object = None,
        padding_side: str | None = None,
        add_special_tokens: bool = True,
        return_tensors: str | None = "pt",
        return_offsets_mapping: bool = False,
        return_text_replacement_offsets: object = None,
        do_sample_frames: object = None,
    ) -> BatchFeature:
        """Prepare prompts, in which the k-th ``<video>`` shows the k-th video.

        Args:
            images: Files, Pillow images or arrays ``[H, W, 3]``; flat or by prompt.
            text: One prompt or several.
            videos: Files, arrays ``[T, H, W, 3]``, lists of frames, `SampledFrames`,
                `VideoFeatures` or `VideoIndex`; what is given twice is encoded once.
            audio: Not supported.
            questions: The question of each block; by default the words of its turn.
            fps: Frames per second that are sampled from a file.
            max_frames: At most so many frames a video.
            max_video_tokens: At most so many a prompt, shared evenly by its blocks.
            padding: Kept for transformers; prompts are always padded.
            padding_side: ``"left"`` or ``"right"``; the tokenizer's by default.
            add_special_tokens: Let the tokenizer add its own special tokens.
            return_tensors: ``"pt"`` or None; tensors are given in both cases.
            return_offsets_mapping: Also give the characters of each token.
            return_text_replacement_offsets: Kept for transformers.
            do_sample_frames: Kept for transformers; files are always sampled.

        Returns:
            The model's inputs.
        """
        _check_call(audio, return_tensors)
        texts = _texts(text)
        blocks, media = assign_media(texts, images, videos, questions)
        contents, plans = read_media(
            blocks,
            media,
            self.budget,
            fps=self.fps if fps is None else fps,
            max_frames=self.max_frames if max_frames is None else max_frames,
            max_video_tokens=max_video_tokens,
            frame_size=self.frame_size,
        )
        data = self._prompt_inputs(
            texts,
            [self.lead_in(block.question) for block in blocks],
            [plans[block.medium].num_tokens for block in blocks],
            padding_side or self.tokenizer.padding_side,
            add_special_tokens,
            return_offsets_mapping,
        )
        if blocks:
            data |= self._media_inputs(contents) | self._block_inputs(blocks)
            data["video_plans"] = torch.tensor(plans)
        return BatchFeature(data)

    def _prompt_inputs(
        self,
        texts: Sequence[str],
        leads: Sequence[list[int]],
        counts: Sequence[int],
        side: str,
        add_special_tokens: bool,
        return_offsets_mapping: bool,
    ) -> dict[str, Any]:
        """Tokenise the prompts and make room for their video tokens."""
        encoded = self.tokenizer(
            [text.replace(IMAGE_MARK, VIDEO_TOKEN) for text in texts],
            add_special_tokens=add_special_tokens,
            return_offsets_mapping=return_offsets_mapping,
        )
        marker = self.video_token_id
        filling = iter(
            [*lead, *[marker] * count]
            for lead, count in zip(leads, counts, strict=True)
        )
        rows, offsets = [], []
        for row, ids in enumerate(encoded["input_ids"]):
            parts = [next(filling) if token == marker else [token] for token in ids]
            rows.append([token for part in parts for token in part])
            if return_offsets_mapping:
                places = encoded["offset_mapping"][row]
                offsets.append(repeat_items(places, [len(part) for part in parts]))
        data: dict[str, Any] = pad_ids(rows, self._pad_token_id(self.tokenizer), side)
        if return_offsets_mapping:
            data["offset_mapping"] = pad_lists(offsets, (0, 0), side)
        return data

    def _block_inputs(self, blocks: Sequence[Block]) -> dict[str, Any]:
        """Give the question and the video of each block."""
        tokenizer = self.qformer_tokenizer
        rows = tokenizer([block.question for block in blocks])["input_ids"]
        padded = pad_ids(rows, self._pad_token_id(tokenizer), "right")
        return {
            "qformer_input_ids": padded["input_ids"],
            "qformer_attention_mask": padded["attention_mask"],
            "block_videos": torch.tensor([block.medium for block in blocks]),
        }

    def _media_inputs(
        self, contents: Sequence[SampledFrames | VideoFeatures]
    ) -> dict[str, Any]:
        features = [item for item in contents if isinstance(item, VideoFeatures)]
        sampled = [item for item in contents if isinstance(item, SampledFrames)]
        if features and sampled:
            raise ValueError(
                "videos that are encoded and videos that are not cannot be mixed in "
                f"one call, got {len(features)} and {len(sampled)}; index the others"
            )
        if features:
            return {"video_features": features}
        pixels = [self.pixel_values(item.frames) for item in sampled]
        times = [torch.from_numpy(np.asarray(item.times)) for item in sampled]
        data = {
            "pixel_values_videos": pixels[0] if len(pixels) == 1 else torch.cat(pixels),
            "video_num_frames": torch.tensor([len(item.frames) for item in sampled]),
            "video_pts_seconds": torch.cat(times).double(),
        }
        if any(item.is_high is not None for item in sampled):
            is_high = [np.zeros(len(item.times), bool) for item in sampled]
            for own, item in zip(is_high, sampled, strict=True):
                own[:] = False if item.is_high is None else item.is_high
            data["video_is_high"] = torch.from_numpy(np.concatenate(is_high))
        if any(item.duration is not None for item in sampled):
            lengths = [item.duration or 0.0 for item in sampled]
            data["video_durations"] = torch.tensor(lengths, dtype=torch.float64)
        return data

    @staticmethod
    def _pad_token_id(tokenizer: Any) -> int:
        """Choose a token for padding, which the attention mask hides anyway."""
        for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
            if token is not None:
                return int(token)
        return 0

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> list[str]:
        """Save the processor and its tokenizers to a folder.

        Args:
            save_directory: The folder, made if it is not there.
            **kwargs: What transformers takes besides.

        Returns:
            The files that transformers names.
        """
        files: list[str] = super().save_pretrained(save_directory, **kwargs)
        if self.use_question_vocabulary:
            folder = Path(save_directory) / _QUESTION_FOLDER
            self.qformer_tokenizer.save_pretrained(folder)
        return files

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, **kwargs: Any
    ) -> Self:
        """Load a processor from a folder or the hub.

        Args:
            pretrained_model_name_or_path: The folder or hub id.
            **kwargs: What transformers takes besides.

        Returns:
            The processor with its tokenizers.
        """
        processor: Self = super().from_pretrained(
            pretrained_model_name_or_path, **kwargs
        )
        if processor.use_question_vocabulary:
            names = ("cache_dir", "force_download", "local_files_only", "revision")
            known = {name: kwargs[name] for name in names if name in kwargs}
            tokenizer = AutoTokenizer.from_pretrained(
                pretrained_model_name_or_path, subfolder=_QUESTION_FOLDER, **known
            )
            processor.set_qformer_tokenizer(tokenizer)
        return processor


def _texts(text: str | Sequence[str] | None) -> list[str]:
    texts = [text] if isinstance(text, str) else list(text or [])
    if not texts or not all(isinstance(item, str) for item in texts):
        raise ValueError(f"text must be a prompt or a list of prompts, got {text!r}")
    return texts


def _check_call(audio: object, return_tensors: str | None) -> None:
    if audio is not None:
        raise ValueError("audio is not supported; leave it out")
    if return_tensors not in ("pt", None):
        raise ValueError(f"return_tensors must be 'pt', got {return_tensors!r}")
