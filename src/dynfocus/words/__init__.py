"""What is written and said in a video, with the times at which it is."""

from dynfocus.words.timed_text import TimedText

__all__ = ["TimedText"]
