"""``dynfocus watch``: questions about a video that is still coming."""

from __future__ import annotations

import io
import os
import queue
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import (
    clean_question,
    describe_cost,
    load_model,
    read_input,
    say,
    scorer_of,
    status_line,
)
from dynfocus.cli.options import (
    Fps,
    Loading,
    MaxNewTokens,
    MaxVideoTokens,
    Model,
    Scorer,
    Subtitles,
    at_least_one,
    positive,
)
from dynfocus.cli.scribe import Scribe, settle_reading
from dynfocus.text import plural, round_floats, to_json

if TYPE_CHECKING:
    from dynfocus.models import Session
    from dynfocus.video import LiveReader

_WAIT_SECONDS = 0.1
_STDIN = "-"


@command(
    'dynfocus watch rtsp://camera/1 --ask "What happens?" --every 60',
    'cat live.ts | dynfocus watch - --ask "Which room is shown now?" --json',
    "dynfocus watch live.ts --model Qwen/Qwen2.5-VL-3B-Instruct --scorer text "
    '--ask "What costs 20 euros?"',
)
def watch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help='A file, "-" for a video on standard input, a device, or an address: '
            "http and https, rtsp and other streams.",
        ),
    ],
    loading: Loading,
    ask: Annotated[
        list[str] | None,
        typer.Option(
            "--ask", metavar="QUESTION", help="What to ask; may be given several times."
        ),
    ] = None,
    questions: Annotated[
        str | None,
        typer.Option(
            "--questions",
            metavar="FILE",
            help='More questions, one a line; "-" reads them from standard input and '
            "answers each when it comes.",
        ),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(
            "--every",
            metavar="SECONDS",
            callback=positive,
            help="Ask after so many seconds of video, again and again; by default once, "
            "at the end.",
        ),
    ] = None,
    model: Model = "nano",
    fps: Fps = 1.0,
    max_frames: Annotated[
        int,
        typer.Option(
            "--max-frames",
            callback=at_least_one,
            help="Hold at most so many frames; then every second of them, and so on.",
        ),
    ] = 1024,
    max_video_tokens: MaxVideoTokens = None,
    max_new_tokens: MaxNewTokens = 64,
    scorer: Scorer = None,
    subtitles: Subtitles = None,
    read: Annotated[
        bool | None,
        typer.Option(
            "--read/--no-read",
            help="Read what is written in the pictures as they come; with --read each text "
            "is a line when it is no longer shown. By default with --scorer text alone, "
            "without these lines.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document a line and answer.")
    ] = False,
    input_format: Annotated[
        str | None,
        typer.Option(
            "--input-format",
            metavar="NAME",
            help="FFmpeg's name of the format, where the data do not tell.",
        ),
    ] = None,
    input_option: Annotated[
        list[str] | None,
        typer.Option(
            "--input-option",
            metavar="NAME=VALUE",
            help="An option of FFmpeg for opening; may be given several times.",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            callback=positive,
            help="Give up when nothing comes for so long; by default never.",
        ),
    ] = None,
) -> None:
    """Watch a video while it comes, and answer questions about what was seen.

    Without --ask and --questions, questions are typed on the terminal, one a line; an
    empty line shows what is held. An answer is a line: seconds seen, question, answer.
    """
    from dynfocus.video import LiveReader
    from dynfocus.words import read_subtitles

    chosen = scorer_of(model, scorer)
    wants_words = (chosen or "").partition("+")[0] == "text"
    is_read = settle_reading(read, subtitles, is_wanted=wants_words)
    known = [text for file in subtitles or () for text in read_subtitles(file)]
    fixed = _fixed_questions(ask or (), questions)
    listens = questions == _STDIN or not fixed
    _check_call(source, fixed, questions, every)
    options = _input_options(input_option or ())
    if source != _STDIN:
        LiveReader(source)  # fails on a file that is not there before a model is loaded
    focused = load_model(
        model,
        **asdict(loading),
        index_folder=False,
        scorer=chosen,
        needs="session",
    )
    session = focused.session(
        max_frames=max_frames, fps=fps, max_video_tokens=max_video_tokens
    )
    if known:
        session.hear(known)
    scribe = None
    if is_read:
        scribe = Scribe(
            session if wants_words else None, tells=bool(read), is_json=json
        )
    reader = LiveReader(
        source,
        fps=fps,
        size=session.frame_size,
        input_format=input_format,
        options=options,
        timeout_seconds=timeout,
        on_picture=None if scribe is None else scribe.push,
    )
    desk = Desk(session, fixed, every, max_new_tokens, is_json=json)
    typed = Listener(questions == _STDIN) if listens else None
    try:
        _follow(reader, session, desk, typed, scribe)
        if scribe is not None:
            scribe.close(session.seen_seconds)
        desk.close(typed)
    finally:
        if session.num_pushed:
            say(f"Seen: {describe_session(session)}.")
    if desk.num_failed:
        raise typer.Exit(1)


def _follow(
    reader: LiveReader,
    session: Session,
    desk: Desk,
    typed: Listener | None,
    scribe: Scribe | None,
) -> None:
    """Push frames as they come and answer what is due, until the video ends."""
    with reader, status_line(typed is None) as show:
        while not reader.is_over:
            part = reader.read(_WAIT_SECONDS)
            if scribe is not None:
                scribe.tell()
            if part is not None:
                session.push(part.frames, part.times)
                show(describe_session(session))
                desk.ask_due()
            if typed is not None and session.num_pushed:
                for question in typed.arrived():
                    desk.ask(question)


def _fixed_questions(given: Sequence[str], file: str | None) -> list[str]:
    lines = []
    if file is not None and file != _STDIN:
        lines = read_input(file).splitlines()
    asked = [*given, *(line for line in lines if line.strip())]
    return [clean_question(question) for question in asked]


def _check_call(
    source: str, fixed: Sequence[str], questions: str | None, every: float | None
) -> None:
    """Refuse a call that asks nothing, or two things of standard input."""
    if source == _STDIN and questions == _STDIN:
        raise typer.BadParameter(
            "the video and the questions cannot both come on standard input"
        )
    if (
        not fixed
        and questions != _STDIN
        and (source == _STDIN or not sys.stdin.isatty())
    ):
        raise typer.BadParameter(
            "nothing is asked: give --ask or --questions, or type on a terminal"
        )
    if every is not None and not fixed:
        raise typer.BadParameter("--every needs questions from --ask or a file")


def _input_options(words: Sequence[str]) -> dict[str, str]:
    wrong = [word for word in words if "=" not in word.strip("=")]
    if wrong:
        raise typer.BadParameter(f"{wrong[0]!r} is not of the form NAME=VALUE")
    return dict(word.split("=", 1) for word in words)


class Desk:
    """Ask questions when they are due and print the answers."""

    def __init__(
        self,
        session: Session,
        fixed: Sequence[str],
        every: float | None,
        max_new_tokens: int,
        *,
        is_json: bool,
    ) -> None:
        self.num_failed = 0
        self._session = session
        self._fixed = fixed
        self._every = every
        self._due = every
        self._asked_at = -1
        self._max_new_tokens = max_new_tokens
        self._is_json = is_json

    def ask_due(self) -> None:
        """Ask the fixed questions if enough of the video was seen since."""
        seen = self._session.seen_seconds
        if self._every is None or self._due is None or seen < self._due - 1e-6:
            return
        while self._due <= seen + 1e-6:
            self._due += self._every
        self._ask_fixed()

    def close(self, typed: Listener | None) -> None:
        """Ask a last time about the whole, and what was sent in until then."""
        if self._asked_at < self._session.num_pushed:
            self._ask_fixed()
        if typed is not None:
            for question in typed.rest():
                self.ask(question)

    def _ask_fixed(self) -> None:
        self._asked_at = self._session.num_pushed
        for question in self._fixed:
            self.ask(question)

    def ask(self, question: str) -> None:
        """Answer one question in one line; report a user error and go on."""
        if not question:
            say(f"Seen: {describe_session(self._session)}.")
            return
        seen = self._session.seen_seconds
        held, stride = self._session.num_frames, self._session.stride
        try:
            answer = self._session.ask(question, max_new_tokens=self._max_new_tokens)
        except ValueError as error:
            self.num_failed += 1
            say(f"dynfocus: {' '.join(str(error).split())}")
            return
        facts = {"seen_seconds": round(seen, 3), "num_frames": held, "stride": stride}
        if self._is_json:
            whole = answer.to_dict()
            told = {
                key: whole[key]
                for key in (
                    "question",
                    "text",
                    "tokens",
                    "seconds",
                    "best_time",
                    "confidence",
                )
            }
            print(to_json(round_floats(facts | told)), flush=True)
        else:
            text = " ".join(answer.text.split())
            print(f"{seen:.1f}\t{question}\t{text}", flush=True)
        say(f"{describe_cost(answer)}; seen {describe_session(self._session)}")


class Listener:
    """Read questions from standard input in a thread, while the video is read."""

    def __init__(self, waits_for_end: bool) -> None:
        self._waits_for_end = waits_for_end
        self._lines: queue.Queue[str | None] = queue.Queue()
        stream: Iterable[str] = sys.stdin
        if isinstance(sys.stdin, io.TextIOWrapper):
            # A file of its own: a thread that waits in it does not hold up the exit.
            stream = open(os.dup(sys.stdin.fileno()), encoding=sys.stdin.encoding)  # noqa: PTH123, SIM115
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()
        if sys.stdin.isatty():
            say("Ask about what was seen, one question a line; Ctrl-C ends.")

    def _read(self, stream: Iterable[str]) -> None:
        for line in stream:
            self._lines.put(line.strip())
        self._lines.put(None)

    def arrived(self) -> Iterable[str]:
        """Yield what was asked since."""
        while not self._lines.empty():
            line = self._lines.get()
            if line is None:
                self._lines.put(None)  # the end stays the end
                return
            yield line

    def rest(self) -> Iterable[str]:
        """Yield what else is asked, to the end of input where that was wanted."""
        if not self._waits_for_end:
            yield from self.arrived()
            return
        while (line := self._lines.get()) is not None:
            yield line


def describe_session(session: Session) -> str:
    """Say in a few words how much was seen and what is held of it."""
    num_held, stride = session.num_frames, session.stride
    share = "" if stride == 1 else f", 1 in {stride}"
    return (
        f"{session.seen_seconds:.1f} s in {plural(session.num_pushed, 'frame')}, "
        f"{num_held:,} held{share}"
    )
