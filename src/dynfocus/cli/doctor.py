"""``dynfocus doctor``: what is installed, and whether it works."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import load_model, print_json
from dynfocus.cli.options import Json
from dynfocus.text import plural, sentence

_REINSTALL = "install dynfocus again: pip install --force-reinstall dynfocus"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one check."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


@command(
    "dynfocus doctor",
    "dynfocus doctor --json",
)
def doctor(json: Json = False) -> None:
    """Check the installation: versions, machine, shipped weights, a question answered.

    Each line says ok or FAILED and, if it failed, what to do; the exit code is 1 if
    something failed.
    """
    findings = [_examine(*check) for check in CHECKS]
    if json:
        print_json(
            {
                "ok": all(finding.ok for finding in findings),
                "checks": [asdict(finding) for finding in findings],
            }
        )
    else:
        for finding in findings:
            mark = "ok    " if finding.ok else "FAILED"
            print(f"{mark}  {finding.name}: {finding.detail}")
            if finding.remedy:
                print(f"        to do: {finding.remedy}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _examine(name: str, check: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(name=name, ok=True, detail=check())
    except Exception as error:  # noqa: BLE001 a failed check must not hide the next
        return Finding(name=name, ok=False, detail=sentence(error), remedy=remedy)


def _python() -> str:
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _torch() -> str:
    import torch

    return f"{torch.__version__}, {plural(torch.get_num_threads(), 'thread')}"


def _transformers() -> str:
    import transformers

    return str(transformers.__version__)


def _video() -> str:
    import av

    av.CodecContext.create("libx264", "w")
    return f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}, H.264 encoder"


def _machine() -> str:
    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        memory = f", {total / 2**30:.1f} GiB memory"
    return f"{plural(os.cpu_count() or 1, 'core')}{memory}"


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none; the CPU is used"
    properties = torch.cuda.get_device_properties(0)
    return f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB"


def _weights() -> str:
    focused = load_model("nano", index_folder=False)
    count = sum(weight.numel() for weight in focused.model.parameters())
    return f"the shipped nano model loads, {count / 1e6:.1f} million parameters"


def _answer() -> str:
    from dynfocus.world import make_video

    with tempfile.TemporaryDirectory() as folder:
        made = make_video(Path(folder, "clip.mp4"), 5.0, 0)
        asked = made.questions[0]
        answer = load_model("nano", index_folder=False).ask(made.path, asked.question)
    return (
        f"a 5-second video was made, read and asked {asked.question!r}: {answer.text!r}"
        f", {plural(answer.tokens, 'video token')}, {answer.seconds:.2f} s"
    )


def _model() -> str:
    from dynfocus.defaults import RECOMMENDED
    from dynfocus.defaults.choosing import downloaded_model, preferred_model

    wanted = preferred_model()
    if wanted is not None:
        return f"all videos are answered by {wanted.name}, {wanted.reason}"
    found = downloaded_model()
    if found is not None:
        return f"videos that are not FocusWorld are answered by {found.name}"
    return (
        "only FocusWorld videos can be answered; for all others, fetch "
        f"{RECOMMENDED} with: dynfocus download"
    )


CHECKS: tuple[tuple[str, Callable[[], str], str], ...] = (
    ("Python", _python, "use Python 3.11 or newer"),
    ("torch", _torch, _REINSTALL),
    ("transformers", _transformers, _REINSTALL),
    ("video", _video, "install PyAV from its wheel: pip install --force-reinstall av"),
    ("machine", _machine, "free some memory"),
    (
        "GPU",
        _gpu,
        "check the driver with nvidia-smi, or hide it: CUDA_VISIBLE_DEVICES=",
    ),
    ("weights", _weights, _REINSTALL),
    ("model", _model, "correct that file, or name a model with --model"),
    ("question", _answer, "run 'dynfocus --debug demo --duration 30' to see where"),
)
