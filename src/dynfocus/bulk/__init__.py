"""Questions in bulk: rows in, records out, on this machine or on many."""

from dynfocus.bulk.asking import Asker, ModelLoader
from dynfocus.bulk.rows import Row, VideoJob, group_by_video, read_rows
from dynfocus.bulk.runner import run_rows
from dynfocus.json_lines import JsonLines, Record

__all__ = [
    "Asker",
    "JsonLines",
    "ModelLoader",
    "Record",
    "Row",
    "VideoJob",
    "group_by_video",
    "read_rows",
    "run_rows",
]
