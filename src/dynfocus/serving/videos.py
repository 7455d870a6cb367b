"""Videos on their way to a question: fetched, read, indexed, each once, and opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from dynfocus.errors import BusyServerError
from dynfocus.models.options import AskOptions
from dynfocus.serving.answers import VideoFile, key_of
from dynfocus.serving.failures import hide_places
from dynfocus.serving.jobs import Job, Jobs, OnProgress, Progress
from dynfocus.serving.library import Library, LibraryVideo
from dynfocus.serving.locks import if_free
from dynfocus.serving.reading import FileJob, called
from dynfocus.serving.word_search import forget_words, has_words
from dynfocus.serving.workers import Workers
from dynfocus.text import sentence

if TYPE_CHECKING:
    from dynfocus.serving.hosting import ModelHost
    from dynfocus.video import FetchPolicy, RemoteFile

_CHUNK_BYTES = 2**20
_MOST_REMEMBERED = 1024
"""Of so many videos it is remembered that they are indexed."""
_AGAIN_SECONDS = 0.5
"""How often it is looked whether another server is done with a video."""


class Videos:
    """Bring the videos of a library to where questions about them can be answered.

    Args:
        library: The videos.
        jobs: What is being done.
        workers: What reads and encodes files.
        host: Where the model is that answers.
        is_indexed: Tells whether that model keeps an index on disk.
        max_jobs: Videos that may wait to be read.
        policy: What may be fetched.
    """

    def __init__(
        self,
        library: Library,
        jobs: Jobs,
        workers: Workers,
        host: ModelHost,
        is_indexed: Callable[[], bool],
        max_jobs: int,
        policy: FetchPolicy,
    ) -> None:
        self.library = library
        self.jobs = jobs
        self._workers = workers
        self._host = host
        self._is_indexed = is_indexed
        self._max_jobs = max_jobs
        self._policy = policy
        self._indexed: dict[tuple[Any, ...], None] = {}

    def resume(self) -> None:
        """Go on with what an earlier server was about to read."""
        for video in self.library.open():
            self.bring(video)

    def check_room(self) -> None:
        """Refuse a further video where too many wait.

        Raises:
            BusyServerError: They do.
        """
        waiting = self._workers.num_waiting
        if waiting >= self._max_jobs:
            raise BusyServerError(f"{waiting} videos wait to be read", 30)

    def bring(self, video: LibraryVideo) -> Job:
        """Read and index a video that is kept, whether or not anybody waits."""
        return self.jobs.start(
            ("bring", video.id), lambda tell: self._bring(video, tell), is_wanted=True
        )

    def progress(self, video: LibraryVideo) -> Progress | None:
        """Tell how far a video is; None where nothing is being done."""
        job = self.jobs.find(("bring", video.id))
        return None if job is None else job.progress

    async def indexing(self, video: LibraryVideo, options: AskOptions) -> Job | None:
        """Find or start the work that a question has to wait for.

        Args:
            video: The video.
            options: The options of the question.

        Returns:
            The work; None where the video is there and indexed.
        """
        if await self._is_there(video):
            file = self.file_of(video)
            key = key_of(file, options)
            if key in self._indexed or not self._is_indexed():
                return None
            if await anyio.to_thread.run_sync(
                self._host.call, "is_indexed", file, options
            ):
                self._indexed[key] = None
                if len(self._indexed) > _MOST_REMEMBERED:
                    del self._indexed[next(iter(self._indexed))]
                return None
        brought = self.jobs.find(("bring", video.id))
        is_usual = options.reading == AskOptions().reading
        if brought is not None and is_usual and brought.progress.stage != "waiting":
            return brought
        key = ("index", video.id, *options.reading.values())
        return self.jobs.start(key, lambda tell: self._index(video, options, tell))

    def file_of(self, video: LibraryVideo) -> VideoFile:
        """Give what a question is asked of."""
        return VideoFile(self.library.content(video), video.name)

    async def reading_words(self, video: LibraryVideo) -> Job | None:
        """Find or start the work that looking for words has to wait for.

        Returns:
            The work; None where the words of the video were read.
        """
        content = self.library.content(video)
        if await self._is_there(video) and await anyio.to_thread.run_sync(
            has_words, self.words, content
        ):
            return None
        return self.jobs.start(
            ("words", video.id), lambda tell: self._read_words(video, tell)
        )

    @property
    def words(self) -> Path:
        """The file with the words of all videos."""
        return self.library.folder / "words.db"

    async def _read_words(self, video: LibraryVideo, tell: OnProgress) -> None:
        if not await self._is_there(video):
            await self._fetch(video, tell)
        job = FileJob(
            path=str(self.library.content(video)),
            name=video.name,
            words=str(self.words),
        )
        await self._run(job, tell, is_urgent=False)

    async def delete(self, video: LibraryVideo) -> None:
        """Forget a video, its index and what is being done with it."""
        for key, job in self.jobs.items():
            if isinstance(key, tuple) and video.id in key:
                job.task.cancel()
        await anyio.to_thread.run_sync(self._delete, video)

    def _delete(self, video: LibraryVideo) -> None:
        if video.path is None:
            self._host.call("forget", self.file_of(video))
        forget_words(self.words, self.library.content(video))
        self.library.delete(video)

    async def _bring(self, video: LibraryVideo, tell: OnProgress) -> None:
        """Do all that can be done before a question, unless another server does it."""
        while True:
            with if_free(self._lock(video, "bring")) as is_ours:
                if is_ours:
                    await self._bring_here(video, tell)
                    return
            await asyncio.sleep(_AGAIN_SECONDS)
            found = self.library.find(video.id)
            if found is None or found.state != "new":
                return

    async def _bring_here(self, video: LibraryVideo, tell: OnProgress) -> None:
        """Read and index a video; write down how it ended."""
        try:
            facts = await self._work_on(video, AskOptions(), tell, is_urgent=False)
        except BusyServerError:
            return  # the next server goes on
        except (ValueError, OSError, ImportError, RuntimeError) as error:
            self._note(
                video,
                state="failed",
                problem=hide_places(
                    called(video.name, self.library.content(video), sentence(error))
                ),
            )
            return
        self._note(video, state="ready", facts=facts, problem=None)

    async def _index(
        self, video: LibraryVideo, options: AskOptions, tell: OnProgress
    ) -> None:
        """Do what a question needs; what it cannot is told to who waits."""
        facts = await self._work_on(video, options, tell, is_urgent=True)
        if not video.is_kept:
            self._note(video, state="ready", facts=facts)

    def _note(self, video: LibraryVideo, **changes: Any) -> None:
        found = self.library.find(video.id)
        if found is not None:
            self.library.save(replace(found, **changes))

    async def _work_on(
        self,
        video: LibraryVideo,
        options: AskOptions,
        tell: OnProgress,
        *,
        is_urgent: bool,
    ) -> dict[str, Any]:
        if not await self._is_there(video):
            await self._fetch(video, tell)
        tell(Progress())
        library = self.library
        folder = library.folder_of(video)
        job = FileJob(
            path=str(library.content(video)),
            name=video.name,
            board_folder=None if is_urgent else str(folder),
            reading=options.reading if self._is_indexed() else None,
            lock=str(self._lock(video, "index")),
        )
        return await self._run(job, tell, is_urgent=is_urgent)

    async def _run(
        self, job: FileJob, tell: OnProgress, *, is_urgent: bool
    ) -> dict[str, Any]:
        """Let a worker do a job."""
        return await self._workers.run(
            job,
            lambda stage, done, total: tell(
                Progress(stage=stage, done=done, total=total)
            ),
            is_urgent=is_urgent,
        )

    def _lock(self, video: LibraryVideo, what: str) -> Path:
        """Give the file that servers of one library lock."""
        locks = self.library.folder / "locks"
        locks.mkdir(exist_ok=True)
        return locks / f"{video.id}.{what}"

    async def _is_there(self, video: LibraryVideo) -> bool:
        """Tell whether the content of a video is there, in the version that is wanted."""
        if not self.library.content(video).exists():
            return False
        if video.is_kept or video.address is None:
            return True
        remote = self._remote(video)
        identity = await anyio.to_thread.run_sync(lambda: remote.identity)
        return identity is not None and identity == video.version

    async def _fetch(self, video: LibraryVideo, tell: OnProgress) -> None:
        """Fetch a video, once for all who wait for it."""
        if video.address is None:
            raise FileNotFoundError(f"{video.name} is not there any more")
        job = self.jobs.start(
            ("fetch", video.id), lambda told: self._download(video, told)
        )
        async for progress in job.changes():
            tell(progress)
        await job.wait()

    async def _download(self, video: LibraryVideo, tell: OnProgress) -> None:
        loop = asyncio.get_running_loop()
        is_wanted = True

        def told(done: int, total: int) -> None:
            if not is_wanted:
                raise BusyServerError("nobody waits for this video any more")
            step = Progress(stage="fetching", done=done, total=total)
            loop.call_soon_threadsafe(tell, step)

        remote = self._remote(video)
        try:
            await anyio.to_thread.run_sync(
                self._copy, video, remote, told, abandon_on_cancel=True
            )
        finally:
            is_wanted = False

    def _copy(
        self, video: LibraryVideo, remote: RemoteFile, told: Callable[[int, int], None]
    ) -> None:
        told(0, remote.num_bytes)
        with self.library.incoming() as incoming, remote.open() as file:
            while data := file.read(_CHUNK_BYTES):
                incoming.write(data)
                told(incoming.num_bytes, remote.num_bytes)
            current = self.library.find(video.id)
            if current is not None:
                self.library.add_content(current, incoming, remote.identity)

    def _remote(self, video: LibraryVideo) -> RemoteFile:
        from dynfocus.video import RemoteFile

        assert video.address is not None
        return RemoteFile(video.address, self._policy)
