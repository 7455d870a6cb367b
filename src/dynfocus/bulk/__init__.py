"""Questions in bulk: rows in, records out, on this machine or on many."""

from dynfocus.bulk.answers_file import AnswersFile
from dynfocus.bulk.asking import ModelLoader, answer_job
from dynfocus.bulk.ray_workers import answer_on_ray
from dynfocus.bulk.rows import BulkRow, VideoJob, group_by_video, read_rows
from dynfocus.bulk.running import BulkSummary, run_bulk
from dynfocus.bulk.workers import answer_here, answer_in_processes
from dynfocus.errors import BrokenWorkerError

__all__ = [
    "AnswersFile",
    "BrokenWorkerError",
    "BulkRow",
    "BulkSummary",
    "ModelLoader",
    "VideoJob",
    "answer_here",
    "answer_in_processes",
    "answer_job",
    "answer_on_ray",
    "group_by_video",
    "read_rows",
    "run_bulk",
]
