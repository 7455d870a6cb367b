"""The tools for agents as a server of the Model Context Protocol.

A call is worked on in a thread, so others are answered meanwhile; its progress goes to
the client, and a call that the client gives up ends at its next step. What a user can
cause becomes an error of one sentence; what nobody foresaw is logged and not told.
"""

from __future__ import annotations

import base64
import logging
import re
import threading
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import anyio.to_thread
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ContentBlock, ImageContent, TextContent, ToolAnnotations
from pydantic import Field

from dynfocus.errors import DynFocusWarning
from dynfocus.serving import agent_access
from dynfocus.serving.agent_access import AllowedVideos
from dynfocus.serving.agent_settings import AgentSettings, MomentSource, Part
from dynfocus.text import sentence

if TYPE_CHECKING:
    from dynfocus.serving.agent_answers import AgentAnswer
    from dynfocus.serving.agent_tools import AgentTools

_logger = logging.getLogger(__name__)

_REPORT_SECONDS = 0.25
_NOISE = re.compile(r"\d+ validation errors? for \w+|\[type=.*|For further .*")
"""What pydantic says beside what is wrong."""
_READS_ONLY = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True
)
_INSTRUCTIONS = """Look at video files without watching them.
Videos lie in: {folders}. Name one by its path; probe a folder to list its videos.
Begin with storyboard for an overview of what happens. find_frames shows the frames that a
question needs, find_words where something is written or said, when says at which times something is shown, ask lets a video model answer.
Look closer with start and end. Every answer is at most {characters:,} characters of text
and {bytes:,} bytes of pictures; it says so where something was left out."""

Video = Annotated[
    str, Field(description="Path of a video in the folders that may be read.")
]
Start = Annotated[
    float | str | None,
    Field(description="Look from here on: seconds, m:ss or h:mm:ss."),
]
End = Annotated[
    float | str | None, Field(description="Look no further than before this.")
]
Question = Annotated[str, Field(description="What to look for, in plain words.")]

_heard: ContextVar[list[str] | None] = ContextVar("heard", default=None)
"""Warnings of the call that is worked on."""


class _GoneError(Exception):
    """The client does not want the answer any more."""


@dataclass(kw_only=True)
class _Work:
    """One call: how far it is, whether it is wanted, and what it warned of."""

    done: int = 0
    total: int = 0
    is_given_up: bool = False
    warnings: list[str] = field(default_factory=list)

    def advance(self, done: int, total: int) -> None:
        """Note how far the work is; end it if nobody waits for it."""
        if self.is_given_up:
            raise _GoneError
        self.done, self.total = done, total


Tool = Callable[[Callable[[int, int], None]], "AgentAnswer"]
"""Does the work of a call, given what to call with its progress."""


def create_agent_server(settings: AgentSettings) -> MCPServer:
    """Build the server; nothing is loaded before it is asked for.

    Args:
        settings: What may be read, with which model, and how much an answer may hold.

    Returns:
        A server with the tools ``probe``, ``storyboard``, ``find_frames``, ``find_words``,
        ``when`` and ``ask``, for ``run`` or for a client in the same process.

    Raises:
        NotADirectoryError: A folder of the settings is none.
    """
    desk = _Desk(settings)
    server: MCPServer = MCPServer(
        "dynfocus",
        title="DynFocus: look at videos",
        version=version("dynfocus"),
        instructions=_INSTRUCTIONS.format(
            folders=", ".join(map(str, desk.videos.folders)),
            characters=settings.max_characters,
            bytes=settings.max_picture_bytes,
        ),
        lifespan=_listening,
        log_level="WARNING",
        middleware=[_tell_in_one_line],
    )

    @server.tool(annotations=_READS_ONLY, structured_output=False)
    async def probe(video: Video, context: Context[Any, Any]) -> list[ContentBlock]:
        """Say what a video file is: length, size, rate, damage; of a folder, its videos."""
        return await desk.do(
            context, lambda go: agent_access.probe(desk.videos, video, go)
        )

    @server.tool(annotations=_READS_ONLY, structured_output=False)
    async def storyboard(
        video: Video,
        context: Context[Any, Any],
        start: Start = None,
        end: End = None,
        num_prototypes: Annotated[
            int | None,
            Field(ge=1, description="How many tiles; by default as many as stand out."),
        ] = None,
    ) -> list[ContentBlock]:
        """Show what happens in a video: one picture of its events, with their times."""
        part = Part(video=video, start=start, end=end)
        return await desk.do(
            context,
            lambda go: desk.tools.storyboard(
                part, num_prototypes=num_prototypes, progress=go
            ),
        )

    @server.tool(annotations=_READS_ONLY, structured_output=False)
    async def find_frames(
        video: Video,
        question: Question,
        context: Context[Any, Any],
        budget: Annotated[
            int, Field(ge=1, le=64, description="How many frames, exactly.")
        ] = 8,
        start: Start = None,
        end: End = None,
    ) -> list[ContentBlock]:
        """Show the frames of a video that a question needs, the best ones large."""
        part = Part(video=video, start=start, end=end)
        return await desk.do(
            context,
            lambda go: desk.tools.find_frames(
                part, question, budget=budget, progress=go
            ),
        )

    @server.tool(annotations=_READS_ONLY, structured_output=False)
    async def find_words(
        video: Video,
        query: Annotated[
            str,
            Field(description='A question, words, or a "phrase in quotes".'),
        ],
        context: Context[Any, Any],
        most: Annotated[
            int, Field(ge=1, le=100, description="At most so many places.")
        ] = 10,
        start: Start = None,
        end: End = None,
    ) -> list[ContentBlock]:
        """Find where something is written on the screen or said in a video."""
        part = Part(video=video, start=start, end=end)
        return await desk.do(
            context,
            lambda go: desk.tools.find_words(part, query, most=most, progress=go),
        )

    @server.tool(annotations=_READS_ONLY, structured_output=False)
    async def when(
        video: Video,
        question: Question,
        context: Context[Any, Any],
        source: Annotated[
            MomentSource,
            Field(
                description="What tells: rating (frames rated for the question), words "
                "(what is written or said), slowfocus (a model names the interval); by "
                "default the first of rating, slowfocus and words that there is."
            ),
        ] = "auto",
        start: Start = None,
        end: End = None,
    ) -> list[ContentBlock]:
        """Say in which intervals of a video something is shown, the surest first.

        Says what told it; confidence compares the intervals of one video.
        """
        part = Part(video=video, start=start, end=end)
        return await desk.do(
            context,
            lambda go: desk.tools.when(part, question, source=source, progress=go),
        )

    @server.tool(annotations=_READS_ONLY, structured_output=False)
    async def ask(
        video: Video,
        question: Question,
        context: Context[Any, Any],
        start: Start = None,
        end: End = None,
        max_video_tokens: Annotated[
            int | None,
            Field(ge=1, description="Most video tokens that the model may read."),
        ] = None,
        method: Annotated[
            str | None,
            Field(description="What chooses them; slowfocus looks again at a moment."),
        ] = None,
    ) -> list[ContentBlock]:
        """Let a video language model answer a question; shows the frames it weighed most."""
        part = Part(video=video, start=start, end=end)
        return await desk.do(
            context,
            lambda go: desk.tools.ask(
                part,
                question,
                max_video_tokens=max_video_tokens,
                method=method,
                progress=go,
            ),
        )

    return server


class _Desk:
    """Work on calls, a few at once, and write their answers.

    Args:
        settings: How many at once, and how much an answer may hold.
    """

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._seats = threading.BoundedSemaphore(settings.num_workers)
        self.videos = AllowedVideos(settings.folders, allows_web=settings.allows_web)

    @cached_property
    def tools(self) -> AgentTools:
        """Import what works on videos, which takes seconds, when it is first needed."""
        from dynfocus.serving.agent_tools import AgentTools

        return AgentTools(self._settings, self.videos)

    async def do(self, context: Context[Any, Any], tool: Tool) -> list[ContentBlock]:
        """Do the work of a call in a thread.

        Args:
            context: The call.
            tool: The work.

        Returns:
            The answer within its budget.

        Raises:
            ToolError: The work failed; in one sentence.
        """
        work = _Work()
        found: list[AgentAnswer | Exception] = []
        async with anyio.create_task_group() as group:
            group.start_soon(_report, context, work)
            try:
                found.append(
                    await anyio.to_thread.run_sync(
                        self._run, tool, work, abandon_on_cancel=True
                    )
                )
            finally:
                work.is_given_up = True
            group.cancel_scope.cancel()
        (answer,) = found
        if isinstance(answer, Exception):
            raise ToolError(sentence(answer)) from answer
        return self._write(answer, work.warnings)

    def _run(self, tool: Tool, work: _Work) -> AgentAnswer | Exception:
        """Wait for a seat and work; give what a user can cause instead of raising it."""
        _heard.set(work.warnings)
        with self._seats:
            try:
                work.advance(0, 0)
                return tool(work.advance)
            except (ValueError, OSError, ImportError) as error:
                return error
            except _GoneError:
                return ValueError("the call was given up")
            except Exception:
                _logger.exception("a call of a tool failed")
                return RuntimeError(
                    "something failed that should not; the server's standard error says "
                    "where, please report it"
                )

    def _write(self, answer: AgentAnswer, heard: list[str]) -> list[ContentBlock]:
        if heard:
            document = {**answer.document, "warnings": list(dict.fromkeys(heard))}
            answer = replace(answer, document=document)
        text, pictures = answer.fit(
            self._settings.max_characters, self._settings.max_picture_bytes
        )
        blocks: list[ContentBlock] = [TextContent(type="text", text=text)]
        for label, file in pictures:
            data = base64.b64encode(file).decode("ascii")
            blocks.append(TextContent(type="text", text=label))
            blocks.append(ImageContent(type="image", data=data, mime_type="image/jpeg"))
        return blocks


async def _tell_in_one_line(
    ctx: ServerRequestContext[Any, Any], call_next: CallNext
) -> HandlerResult:
    """Write what is wrong with the arguments of a call in one line."""
    result = await call_next(ctx)
    if isinstance(result, dict) and result.get("isError"):
        for block in result["content"]:
            block["text"] = " ".join(_NOISE.sub("", block["text"]).split())
    return result


async def _report(context: Context[Any, Any], work: _Work) -> None:
    """Tell the client how far the work is, whenever it has got further."""
    told = 0.0
    while True:
        await anyio.sleep(_REPORT_SECONDS)
        share = work.done / work.total if work.total else 0.0
        if share > told:
            told = share
            await context.report_progress(share, 1.0)


@asynccontextmanager
async def _listening(server: MCPServer) -> AsyncIterator[None]:
    """Let the warnings of the package go to the call that they are of."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", DynFocusWarning)
        others = warnings.showwarning

        def show(message: Warning | str, *where: Any, **more: Any) -> None:
            heard = _heard.get()
            if isinstance(message, DynFocusWarning) and heard is not None:
                heard.append(" ".join(str(message).split()))
            else:
                others(message, *where, **more)

        warnings.showwarning = show
        yield
