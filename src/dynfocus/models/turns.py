"""One turn as the language model reads it, wherever that runs.

Letters: L prompt tokens, S tokens of the block, H width of the language model.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from torch import Tensor

from dynfocus.focus import VideoTokens
from dynfocus.models.answers import Answer, report_frames


@dataclass(frozen=True, kw_only=True)
class PreparedTurn:
    """A prompt with its video, embedded, and where the video stands in it."""

    question: str
    """The question."""
    input_ids: Tensor
    """The prompt with a placeholder for every video token, shape ``[L]``."""
    embeds: Tensor
    """The prompt as the language model reads it, shape ``[1, L, H]``."""
    lead_in: int
    """Tokens of the question that stand right before the video tokens."""
    tokens: VideoTokens
    """The video tokens."""

    def block(self, video_token_id: int) -> Tensor:
        """Give what stands in the place of the video: its lead-in and its tokens.

        Args:
            video_token_id: The placeholder's token.

        Returns:
            Embeddings of their own, no view of the prompt, shape ``[S, H]``.
        """
        places = (self.input_ids == video_token_id).nonzero()[:, 0]
        first, last = int(places[0]) - self.lead_in, int(places[-1])
        return self.embeds[0, first : last + 1].clone()

    def answer(self, text: str, started: float) -> Answer:
        """Put an answer together.

        Args:
            text: What the language model said.
            started: When the work began, on the clock of ``time.perf_counter``.

        Returns:
            The answer, its cost and what became of each frame.
        """
        return Answer(
            text=text,
            question=self.question,
            tokens=len(self.tokens.embeds),
            frames=report_frames(self.tokens),
            seconds=time.perf_counter() - started,
        )
