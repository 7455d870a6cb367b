"""Judges: language models that rate answers for which no rule says whether they are right."""

from dynfocus.evaluation.judges.grading import Grades, Verdict, grade
from dynfocus.evaluation.judges.judge import Judge, LocalJudge, ServerJudge, open_judge
from dynfocus.evaluation.judges.prompts import PROMPTS, JudgePrompt
from dynfocus.evaluation.judges.verdicts import (
    judge_yes,
    read_as_mlvu,
    read_verdict,
    round_score,
)

__all__ = [
    "Grades",
    "Judge",
    "JudgePrompt",
    "LocalJudge",
    "PROMPTS",
    "ServerJudge",
    "Verdict",
    "grade",
    "judge_yes",
    "open_judge",
    "read_as_mlvu",
    "read_verdict",
    "round_score",
]
