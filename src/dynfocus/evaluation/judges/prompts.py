"""What a judge is asked, an entry for each aspect that a benchmark has judged.

The rubrics are those of the published scripts in substance: what is weighed, in which
form the verdict is wanted, and the number in the example, which is none of those asked
for. The sentences are our own, so ``prompt_hash`` tells results from those that others
made with theirs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

Messages = list[dict[str, str]]
_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, kw_only=True)
class JudgePrompt:
    """A rubric and the form of the verdict."""

    system: str
    """What is weighed."""
    user: str
    """The question, the truth, the reply and the request, with names in braces."""
    keys: tuple[str, ...]
    """Keys of the verdict; those that are scores first."""
    least: float = 0.0
    most: float = 5.0
    """Scores are from ``least`` to ``most``."""
    max_new_tokens: int = 64
    """How long the verdict may be."""

    def fill(self, fields: Mapping[str, str]) -> Messages:
        """Write the messages about one reply."""
        user = _FIELD.sub(lambda found: fields.get(found[1], found[0]), self.user)
        return [
            {"role": "system", "content": self.system},
            {"role": "user", "content": user},
        ]

    @property
    def prompt_hash(self) -> str:
        """Name the wording: results with different ones do not compare."""
        whole = "\0".join((self.system, self.user, *self.keys))
        return hashlib.sha256(whole.encode()).hexdigest()[:16]


_PAIR = (
    "A question about a video was answered. Judge the answer.\n\n"
    "Question: {question}\nCorrect answer: {answer}\nPredicted answer: {pred}\n\n"
)
_DICTIONARY = (
    " Write nothing but a Python dictionary in one line, no explanation before or after "
    "it. "
)
_SYSTEM = "You judge answers to questions about videos. "


def _scored(system: str, what: str) -> JudgePrompt:
    return JudgePrompt(
        system=_SYSTEM + system,
        user=f"{_PAIR}Give one score for {what}: a whole number from 0 to 5, where 5 is "
        f"best.{_DICTIONARY}Its only key is 'score' and its value an integer, for "
        f"example: {{'score': 4.8}}",
        keys=("score",),
    )


_AGREEMENT = JudgePrompt(
    system=_SYSTEM
    + "Compare the predicted answer with the correct one and decide whether they agree "
    "in meaning. Synonyms and paraphrases count as agreement. What matters is whether the "
    "prediction is right given the correct answer.",
    user=f"{_PAIR}Decide yes or no, and give a score for how well they agree: a whole "
    f"number from 0 to 5, where 5 is best.{_DICTIONARY}Its keys are 'pred', whose value "
    "is the string 'yes' or 'no', and 'score', whose value is an integer, for example: "
    "{'pred': 'yes', 'score': 4.8}",
    keys=("score", "pred"),
)
_CONSISTENCY = JudgePrompt(
    system=_SYSTEM
    + "The same thing was asked twice in nearly the same words. Decide whether the two "
    "predicted answers agree with each other and with the correct answer. Paraphrases "
    "count as agreement; a contradiction between the two does not.",
    user="Two questions about a video were answered. Judge both answers together.\n\n"
    "Question 1: {question}\nQuestion 2: {question2}\nCorrect answer: {answer}\n"
    "Predicted answer to question 1: {pred}\nPredicted answer to question 2: {pred2}\n\n"
    f"Give one score for consistency: a whole number from 0 to 5, where 5 is best."
    f"{_DICTIONARY}Its only key is 'score' and its value an integer, for example: "
    "{'score': 4.8}",
    keys=("score",),
)
_SCENE = JudgePrompt(
    system=_SYSTEM
    + "A question asks for a part of a video. You get the question, a list of scoring "
    "points and the answer. Accuracy, from 1 to 5, is the average over the points: 5 for "
    "a point that the answer has right, 3 for one that it touches but does not have "
    "right, 1 for one that it misses. Relevance, from 1 to 5, rates whether the answer "
    "stays with the question and is sure of itself, whether it is right or not.",
    user="Question: {question}\nScoring points: {answer}\nAnswer: {pred}\n\n"
    "Go through the points one by one, then end with a Python dictionary in one line with "
    "the keys 'score_accuracy', 'score_relevance' and 'total_score', for example: "
    "{'score_accuracy': 3, 'score_relevance': 4, 'total_score': 7}",
    keys=("score_accuracy", "score_relevance"),
    least=1.0,
    max_new_tokens=1024,
)
_SUMMARY = JudgePrompt(
    system=_SYSTEM
    + "A summary of a whole video was asked for. You get a reference summary and the "
    "answer. Completeness, from 1 to 5, rates how much of the reference the answer "
    "covers. Reliability, from 1 to 5, rates whether it is free of what contradicts the "
    "reference; further detail is fine unless it conflicts.",
    user="Reference summary: {answer}\nAnswer: {pred}\n\n"
    "Explain your rating in short, then end with a Python dictionary in one line with the "
    "keys 'score_completeness', 'score_reliability' and 'total_score', for example: "
    "{'score_completeness': 3, 'score_reliability': 4, 'total_score': 7}",
    keys=("score_completeness", "score_reliability"),
    least=1.0,
    max_new_tokens=1024,
)

PROMPTS: dict[str, JudgePrompt] = {
    "agreement": _AGREEMENT,
    "correctness": _scored(
        "Weigh whether the predicted answer agrees with the correct one in its facts: "
        "nothing misread, nothing invented. Paraphrases are fine.",
        "correctness of information",
    ),
    "detail": _scored(
        "Weigh detail: whether the predicted answer has all major points of the correct "
        "one, and whether it is concrete, not generic. Paraphrases are fine. Both go into "
        "one score.",
        "detail orientation",
    ),
    "context": _scored(
        "Weigh context: whether the predicted answer fits the video as a whole, has its "
        "main themes and mood, and brings in nothing from elsewhere. Paraphrases are "
        "fine.",
        "contextual understanding",
    ),
    "temporal": _scored(
        "Weigh time: whether the predicted answer tells events in the order of the "
        "correct one. Paraphrases are fine only where the order is kept.",
        "temporal understanding",
    ),
    "consistency": _CONSISTENCY,
    "scene": _SCENE,
    "summary": _SUMMARY,
}
"""The prompt of each aspect."""
