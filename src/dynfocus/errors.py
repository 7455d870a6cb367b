"""The exceptions and warnings of the package: one tree, each with cause and remedy.

Each keeps a built-in class beside the base, so ``except ValueError`` works as well. The
first paragraph of a docstring is the cause, the second the remedy; ``docs/errors.md``
shows both.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "BrokenWorkerError",
    "BusyBackendError",
    "BusyServerError",
    "ChangedSizeWarning",
    "DamagedVideoWarning",
    "DownloadError",
    "DynFocusError",
    "DynFocusWarning",
    "FewerFramesWarning",
    "ForgottenTurnsWarning",
    "NoModelError",
    "NonFiniteLogitsError",
    "OtherLayoutWarning",
    "OtherPromptWarning",
    "RefusedAnswerError",
    "RefusedFrameTimesError",
    "SeveralVideosWarning",
    "StuckVideoError",
    "TooManyFailuresError",
    "UnknownWorldWarning",
    "UnreachableVideoError",
    "UnreadWordsWarning",
    "UnreadableVideoError",
    "UnrelatedWordsWarning",
    "UnusableEntryError",
    "UnusableEntryWarning",
    "UnwritableFileError",
    "VideoLimitError",
    "WordsLibraryError",
]


class DynFocusError(Exception):
    """Something failed in a way that the package foresees.

    Remedy: the message names the value at fault and what to do; catch this class to
    catch all of them.
    """


class DynFocusWarning(UserWarning):
    """Something was left out or done another way, and the work went on.

    Remedy: the message says what; ``warnings.simplefilter("error", DynFocusWarning)``
    makes all of them errors.
    """


class UnreadableVideoError(DynFocusError, ValueError):
    """A file holds no video, or none of the wanted frames can be decoded.

    Remedy: check that the file is a video and whole, with ``dynfocus probe``; copy it
    again or convert it to H.264 in MP4.
    """


class StuckVideoError(TimeoutError, UnreadableVideoError):
    """Reading or decoding made no progress for too long and was given up.

    Remedy: copy the file to a local disk, or raise ``timeout_seconds`` if the disk or
    the source is only slow.
    """


class VideoLimitError(UnreadableVideoError):
    """A video is longer, larger or harder to decode than a server allows.

    Remedy: cut it into parts or make it smaller; who runs the server may raise its
    limits.
    """


class UnreachableVideoError(UnreadableVideoError):
    """A video's address cannot be read: refused, too slow, too large, or changed meanwhile.

    Remedy: open the address in a browser; download the file and name that if the server
    is at fault, or give another ``FetchPolicy`` if a limit is.
    """


class DamagedVideoWarning(DynFocusWarning):
    """Some wanted frames of a video could not be decoded, or may show damage.

    Remedy: none is needed where the rest of the video suffices; the message names the
    moments. Copy the file again if it was whole where it came from.
    """


class ChangedSizeWarning(DynFocusWarning):
    """The pictures of a video change their size in the middle of the file.

    Remedy: none is needed where the shape stays the same; else ask about each part by
    itself, with ``start`` and ``end``, or cut the file where the size changes.
    """


class FewerFramesWarning(DynFocusWarning):
    """Fewer frames were read than were sampled, since all would not fit.

    Remedy: none is needed where fewer frames suffice. Ask with a lower ``fps`` or
    ``max_frames`` to choose them yourself, or assemble the model with a longer context.
    """


class ForgottenTurnsWarning(DynFocusWarning):
    """A model that was trained on single questions is asked without earlier turns.

    Remedy: write every question out in full; "and then?" means nothing to the model.
    """


class SeveralVideosWarning(DynFocusWarning):
    """A model that was trained on one video a question is asked about several.

    Remedy: ask about each video by itself, or name a model that was trained on several.
    """


class UnknownWorldWarning(DynFocusWarning):
    """Nano is asked about a video whose pictures are not those of FocusWorld.

    Remedy: load a model that knows the real world, such as what ``dynfocus download``
    fetches; what nano says of this video means nothing.
    """


class UnrelatedWordsWarning(DynFocusWarning):
    """Nothing that is written or said in a video is about the question.

    Remedy: none is needed; frames are chosen by their look. Ask in words that the video
    may use, or install the extra ``meaning``, which finds other words for the same.
    """


class NoModelError(DynFocusError, ValueError):
    """No model was named, and none on this machine knows what the video shows.

    Remedy: run ``dynfocus download`` once, or name a model: ``--model`` on the command
    line, ``model=`` in Python.
    """


class DownloadError(DynFocusError, ValueError):
    """A model did not come from the hub: misspelt, refused, no network, no room.

    Remedy: the message says which; running the same command again goes on where it was.
    A model's folder that was copied by hand can be named in its place.
    """


class NonFiniteLogitsError(DynFocusError, ValueError):
    """A model gave logits that are not finite, so no answer can be taken from it.

    Remedy: load it with ``dtype=torch.float32``, or load its weights anew if they may be
    damaged.
    """


class BackendError(DynFocusError, OSError):
    """A server refused, was too slow, answered nonsense, or is not there.

    Remedy: check its address, key and the name of its model; give a slow one more time
    with ``timeout_seconds``.
    """


class BusyBackendError(BackendError):
    """A server has too many requests, or none of its machines is free.

    Remedy: wait and ask again; ``wait_seconds`` is how long the server says, if it does.
    A judge of ``dynfocus eval`` waits by itself; ask with fewer ``--judge-workers``.
    """

    def __init__(self, what: str, wait_seconds: float | None = None) -> None:
        super().__init__(what)
        self.wait_seconds = wait_seconds


class RefusedAnswerError(BackendError):
    """A model, or a filter of its server, will not answer this.

    Remedy: ask another way, or another model.
    """


class RefusedFrameTimesError(BackendError):
    """A vLLM server takes no times of frames with a request.

    Remedy: start it with ``--trust-request-mm-kwargs``, or send the frames with
    ``--layout sheets``, which says their times in words.
    """


class OtherLayoutWarning(DynFocusWarning):
    """A server takes no times of frames with a request; they were sent as sheets.

    Remedy: none is needed for an answer. Start vLLM with ``--trust-request-mm-kwargs``,
    or ask for sheets.
    """


class OtherPromptWarning(DynFocusWarning):
    """A server read another number of tokens than the prompt has.

    Remedy: start the server with the model and the chat template that
    ``dynfocus export-language-model`` wrote; other tokens give another answer.
    """


class UnusableEntryError(DynFocusError, ValueError):
    """A file that stands where an entry of the index belongs is none, or is damaged.

    Remedy: delete the file; the video is encoded again when it is next asked about.
    """


class UnusableEntryWarning(DynFocusWarning):
    """An entry of the index cannot be used or written; the video is read again.

    Remedy: none is needed for an answer. Make room, or name another folder with
    ``index_folder``, if it is said again and again.
    """


class UnreadWordsWarning(DynFocusWarning):
    """Some words of a video are left out: of another video, damaged, or in no known script.

    Remedy: none is needed where the rest suffices. The message names the file and what is
    left out; name other subtitles, or save them as UTF-8.
    """


class UnwritableFileError(DynFocusError, OSError):
    """A result file cannot be written where the user wants it.

    Remedy: name a file in a folder that exists and that you may write to.
    """


class WordsLibraryError(DynFocusError, OSError):
    """A library of words is not there, is damaged, or is held by another process.

    Remedy: wait for the other process, or delete the file: it is made anew from the
    videos.
    """


class BrokenWorkerError(DynFocusError, ChildProcessError):
    """Worker processes end before they have loaded the model.

    Remedy: run the same with one worker, which shows why; fewer workers need less
    memory.
    """


class TooManyFailuresError(DynFocusError, ValueError):
    """More samples of a training run failed than its recipe allows.

    Remedy: run ``dynfocus data check`` on the data, or raise ``data.max_failures``.
    """


class BusyServerError(DynFocusError, OSError):
    """The server has as much to do as it may take on, or is stopping.

    Remedy: come back after as many seconds as it says; ``dynfocus serve --max-waiting``
    lets more questions wait.
    """

    def __init__(
        self, reason: str, retry_seconds: int = 1, *, is_of_client: bool = False
    ) -> None:
        super().__init__(reason)
        self.is_of_client = is_of_client
        self.retry_seconds = retry_seconds
