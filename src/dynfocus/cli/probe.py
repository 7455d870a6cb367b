"""``dynfocus probe``: what a video file is and what will be hard about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import check_video, print_json, progress_bar
from dynfocus.cli.options import Excerpt, Json, Stream, Video
from dynfocus.text import plural

if TYPE_CHECKING:
    from dynfocus.video import VideoProbe

_LEARNED_BY = {
    "index": "its index",
    "reading": "reading it once",
    "decoding": "decoding it once",
}


@command(
    "dynfocus probe clip.mp4",
    "dynfocus probe a.ts --full --json",
)
def probe(
    video: Video,
    stream: Stream = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Decode every frame to look for damage, not some key frames."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Say what a video file is, what will be hard about it, and whether it is damaged.

    Frames, times and key frames are counted, not taken from the header. Needs no model.
    """
    from dynfocus.video import probe_video

    reader = check_video(video, Excerpt(stream=stream))
    with progress_bar("Decoding") as progress:
        found = probe_video(reader, is_full=full, progress=progress)
    if json:
        print_json(found.to_dict())
        return
    for name, text in _lines(found):
        print(f"{name:<11} {text}")
    print("Hard about it:" if found.difficulties else "Nothing about it is hard.")
    for sentence in found.difficulties:
        print(f"- {sentence}")


def _lines(found: VideoProbe) -> list[tuple[str, str]]:
    """Put the facts in words."""
    facts = found.facts
    height, width = found.size
    kind = f"{facts.codec} {facts.profile}" if facts.profile else facts.codec
    others = [
        plural(count, noun)
        for count, noun in (
            (facts.video_streams, "video stream"),
            (facts.audio_streams, "audio stream"),
            (facts.cover_pictures, "cover picture"),
        )
        if count
    ]
    num_packets = found.frame_count + found.hidden_frame_count
    share = found.packets_for_64_frames / max(1, num_packets)
    left_out = " at most" if found.leaves_out_unneeded else ""
    return [
        ("file", f"{found.path}, {found.file_bytes / 1e6:,.1f} MB"),
        ("container", f"{facts.container}: {', '.join(others)}"),
        ("video", f"{kind}, {facts.pixel_format}, {width}x{height} as displayed"),
        (
            "length",
            f"{found.duration:.2f} s, {plural(found.frame_count, 'frame')}, "
            f"{found.fps:.2f} a second on average",
        ),
        (
            "key frames",
            f"{found.key_frame_count:,}, up to {found.longest_key_gap_seconds:.1f} s apart",
        ),
        ("learned by", _LEARNED_BY[found.learned_by]),
        (
            "64 frames",
            f"need{left_out} {found.packets_for_64_frames:,} decoded ({share:.0%})",
        ),
        ("damage", _describe_damage(found)),
    ]


def _describe_damage(found: VideoProbe) -> str:
    """Say what was found, and whether everything was looked at."""
    is_full = found.tried_frame_count >= found.frame_count
    rest = "" if is_full else "; --full decodes all"
    if found.damage is not None:
        damage = found.damage.removeprefix(f"{found.path.rpartition('/')[2]}: ")
        return f"{damage.rstrip('.')}{rest}"
    all_ = "all " if is_full else ""
    return (
        f"none in {all_}{plural(found.tried_frame_count, 'frame')} that "
        f"{'was' if found.tried_frame_count == 1 else 'were'} decoded{rest}"
    )
