"""Short videos that are FocusWorld, handled in many ways, and short videos that are not.

Letters: T frames, H and W of a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from dynfocus.video import VideoReader
from dynfocus.world import make_scene, render
from dynfocus.world.scene import Split

Frames = NDArray[np.uint8]
Random = np.random.Generator

NUM_ENCODED = 24
"""Frames of a clip of FocusWorld, at most four seconds of them."""
NUM_FRAMES = 8
"""Frames of each clip that are looked at."""
SIZES = (112, 160, 224, 320, 360, 448, 480, 560, 640, 720)
RATES = (2, 4, 6, 8, 12, 25, 30)
CODECS: dict[str, Callable[[Random], dict[str, str]]] = {
    "libx264": lambda rng: {"crf": str(rng.integers(18, 41)), "preset": "veryfast"},
    "libx265": lambda rng: {
        "crf": str(rng.integers(18, 41)),
        "preset": "ultrafast",
        "x265-params": "log-level=none",
    },
    "libvpx": lambda rng: {
        "crf": str(rng.integers(18, 41)),
        "b": "2M",
        "deadline": "realtime",
        "cpu-used": "8",
    },
    "libvpx-vp9": lambda rng: {
        "crf": str(rng.integers(18, 41)),
        "b": "0",
        "deadline": "realtime",
        "cpu-used": "8",
    },
    "mpeg4": lambda rng: {"b": f"{rng.integers(200, 1500)}k"},
    "mpeg2video": lambda rng: {"b": f"{rng.integers(400, 2500)}k"},
    "mjpeg": lambda rng: {"q:v": str(rng.integers(2, 16))},
}
"""Encoders with settings from good to bad."""
HANDLINGS = ("whole", "cropped", "letterboxed", "cropped and letterboxed", "stretched")


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Sampled frames of a short video."""

    kind: str
    """What was done with it, or what made it."""
    source: str
    """The seed, or the file it is cut from."""
    frames: Frames
    """``[T, H, W, 3]``, squeezed to 112 pixels a side, as nano reads them."""
    size: tuple[int, int]
    """Height and width of the video."""
    rooms: tuple[str, ...] = ()
    """The room in each frame of FocusWorld."""


def world_clip(path: Path, seed: int, split: Split) -> Clip:
    """Cut up to four seconds out of FocusWorld, change the pictures, and encode them.

    Args:
        path: A name without an ending for the file, which stays.
        seed: Decides all of it.
        split: ``train``, ``validation`` or ``test`` of FocusWorld.
    """
    rng = np.random.default_rng([71, seed])
    seconds = float(rng.uniform(10, 60))
    scene = make_scene(seed, seconds, split)
    rate = int(rng.choice(RATES))
    times = rng.uniform(0, seconds - 4) + np.arange(min(NUM_ENCODED, 4 * rate)) / rate
    side = int(rng.choice(SIZES))
    handling = HANDLINGS[seed % len(HANDLINGS)]
    drawn = list(render(scene, times.tolist(), 224 if side <= 320 else 448))
    gain, shift = rng.uniform(0.93, 1.07, 3), rng.uniform(-8, 8, 3)
    if rng.random() < 0.3:
        gain, shift = np.ones(3), np.zeros(3)
    box = _crop_box(rng, drawn[0].shape[0]) if "cropped" in handling else None
    shape = (side, side)
    if handling == "stretched":
        shape = (side // 32 * 18, side)
    pad = float(rng.choice([4 / 3, 16 / 9, 9 / 16])) if "letterboxed" in handling else 0
    pictures = []
    for picture in drawn:
        toned = (picture * gain + shift).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(toned).crop(box) if box else Image.fromarray(toned)
        image = image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
        pictures.append(_pad(image, pad))
    codec = str(rng.choice(list(CODECS)))
    file = encode(path, pictures, rate, codec, CODECS[codec](rng))
    reader = VideoReader(file)
    found = reader.sample(num_frames=NUM_FRAMES, size=(112, 112))
    at = times[0] + found.times
    rooms = tuple(
        next(
            (r.name for r in scene.rooms if r.start <= t < r.end), scene.rooms[-1].name
        )
        for t in at
    )
    return Clip(
        kind=f"{handling}; {codec}",
        source=f"{split}/{seed}",
        frames=found.frames,
        size=reader.size,
        rooms=rooms,
    )


def _crop_box(rng: Random, side: int) -> tuple[int, int, int, int]:
    """Leave 90 or 95 % of the width and of the height, somewhere."""
    kept = [round(side * float(rng.choice([0.9, 0.95]))) for _ in range(2)]
    left, top = (int(rng.integers(0, side - k + 1)) for k in kept)
    return left, top, left + kept[0], top + kept[1]


def _pad(image: Image.Image, shape: float) -> Image.Image:
    """Put black borders around a picture, to a width so many times its height; 0 for none."""
    width, height = image.size
    if not shape:
        return image
    whole = (max(width, round(height * shape)), max(height, round(width / shape)))
    black = Image.new("RGB", (whole[0] // 2 * 2, whole[1] // 2 * 2))
    black.paste(image, ((whole[0] - width) // 2, (whole[1] - height) // 2))
    return black


def encode(
    path: Path,
    pictures: list[Image.Image],
    rate: int,
    codec: str,
    options: dict[str, str],
) -> Path:
    """Write pictures with an encoder into Matroska."""
    file = path.with_suffix(".mkv")
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        width, height = (n // 2 * 2 for n in pictures[0].size)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for picture in pictures:
            array = np.asarray(picture.convert("RGB"))[:height, :width]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file


def file_clips(path: Path, seconds: float, rng: Random) -> list[Clip]:
    """Cut a video into short pieces, some of which are cropped."""
    reader = VideoReader(path)
    found = []
    for start in np.arange(0, max(reader.duration - seconds, 0.01), seconds):
        times = start + (np.arange(NUM_FRAMES) + 0.5) * seconds / NUM_FRAMES
        times = times[times < reader.duration - 0.02]
        if len(times) == 0:
            continue
        frames = reader.sample(times=times, size=(224, 224)).frames
        low, high = (0, 224) if rng.random() < 0.5 else (0, int(rng.integers(120, 224)))
        y, x = (int(rng.integers(0, 224 - high + 1)) for _ in range(2))
        cut = frames[:, y : y + high, x : x + high]
        found.append(
            Clip(
                kind="real",
                source=path.stem,
                frames=_resize(cut),
                size=reader.size,
            )
        )
    return found


def _resize(frames: Frames) -> Frames:
    images = (Image.fromarray(np.ascontiguousarray(f)) for f in frames)
    return np.stack(
        [np.asarray(i.resize((112, 112), Image.Resampling.BILINEAR)) for i in images]
    )


def photo_clip(path: Path, rng: Random) -> Clip:
    """Move over a photograph."""
    with Image.open(path) as stored:
        image = stored.convert("RGB")
    whole = min(image.size)
    side = rng.uniform(0.3, 1.0, 2) * whole
    places = rng.uniform(0, 1, (2, 2))
    frames = []
    for share in np.linspace(0, 1, NUM_FRAMES):
        size = side[0] + (side[1] - side[0]) * share
        x, y = (places[0] + (places[1] - places[0]) * share) * (
            np.array(image.size) - size
        )
        box = (x, y, x + size, y + size)
        frames.append(np.asarray(image.resize((112, 112), Image.Resampling.BOX, box)))
    return Clip(
        kind="photograph", source=path.stem, frames=np.stack(frames), size=(480, 480)
    )


def vary(clip: Clip, other: Clip, rng: Random) -> Clip:
    """Change the tones of a clip, and sometimes put a part of another into it."""
    frames = clip.frames.astype(np.float32)
    if rng.random() < 0.4:
        low, high = rng.integers(0, 60, 2), rng.integers(40, 112, 2)
        box = np.s_[:, low[0] : low[0] + high[0], low[1] : low[1] + high[1]]
        count = min(len(frames), len(other.frames))
        frames = frames[:count].copy()
        frames[box] = other.frames[:count][box]
    if rng.random() < 0.5:
        frames = frames[..., rng.permutation(3)]
    if rng.random() < 0.4:
        grey = frames.mean(3, keepdims=True)
        frames = grey + (frames - grey) * rng.uniform(0, 0.8)
    gain, shift = rng.uniform(0.3, 1.2), rng.uniform(-40, 90)
    frames = frames * gain * rng.uniform(0.85, 1.15, 3) + shift
    return replace(clip, frames=frames.clip(0, 255).astype(np.uint8))


BUILT_FROM = (
    "testsrc",
    "smptebars",
    "mandelbrot",
    "cellauto",
    "gradients",
    "rgbtestsrc",
    "color",
)
HELD_OUT = (
    "testsrc2",
    "life",
    "sierpinski",
    "zoneplate",
    "perlin",
    "yuvtestsrc",
    "pal75bars",
    "colorspectrum",
    "allrgb",
)
"""Sources of FFmpeg: those that the model is made with, and the others."""


def pattern_clip(name: str, rng: Random) -> Clip:
    """Draw a test pattern of FFmpeg, enlarged or not, from some moment on."""
    options = (
        ""
        if name in ("allrgb",)
        else f"=size={rng.choice(['160x160', '320x240', '112x112'])}"
    )
    if name == "color":
        options += f":color=0x{rng.integers(0, 2**24):06x}"
    if name == "gradients":
        options += f":seed={rng.integers(1, 9999)}:nb_colors={rng.integers(2, 8)}"
    if name in ("life", "cellauto"):
        options += f":seed={rng.integers(1, 9999)}"
    if name == "life":
        options += f":mold=10:life_color=0x{rng.integers(0, 2**24):06x}:death_color=0x{rng.integers(0, 2**24):06x}"
    if name == "perlin":
        options += f":random_mode=seed:random_seed={rng.integers(1, 9999)}:xscale={rng.uniform(1, 9):.2f}:yscale={rng.uniform(1, 9):.2f}"
    frames = []
    skip = 0 if name == "allrgb" else int(rng.integers(0, 60))
    with av.open(f"{name}{options}", format="lavfi") as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number >= skip:
                frames.append(frame.to_ndarray(format="rgb24"))
            if len(frames) == (2 if name == "allrgb" else NUM_FRAMES):
                break
    return Clip(
        kind="test pattern",
        source=name,
        frames=_resize(np.stack(frames)),
        size=(240, 320),
    )


def drawn_clip(name: str, rng: Random) -> Clip:
    """Draw moving pictures by one of `DRAWN`."""
    make = DRAWN[name](rng)
    frames = [
        np.asarray(make(i / NUM_FRAMES).convert("RGB")) for i in range(NUM_FRAMES)
    ]
    return Clip(
        kind="drawn", source=name, frames=_resize(np.stack(frames)), size=(360, 360)
    )


Draw = Callable[[float], Image.Image]


def _colour(rng: Random, low: int = 0, high: int = 256) -> tuple[int, int, int]:
    red, green, blue = rng.integers(low, high, 3)
    return int(red), int(green), int(blue)


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _words(rng: Random, count: int) -> str:
    letters = "abcdefghijklmnoprstuvwy"
    return " ".join(
        "".join(rng.choice(list(letters), rng.integers(2, 9))) for _ in range(count)
    )


def _slides(rng: Random) -> Draw:
    """Black or coloured words on a light, tinted or dark ground."""
    paper = _colour(rng, *((190, 256), (0, 256), (0, 70))[rng.integers(3)])
    ink = (20, 20, 20) if sum(paper) > 380 else (235, 235, 235)
    lines = [_words(rng, 4) for _ in range(int(rng.integers(2, 9)))]
    title, bar = _words(rng, 2), _colour(rng)

    def draw(at: float) -> Image.Image:
        image = Image.new("RGB", (360, 360), paper)
        pen = ImageDraw.Draw(image)
        pen.rectangle((0, 0, 360, 40), fill=bar)
        pen.text((12, 8), title, fill=paper, font=_font(24))
        for row, line in enumerate(lines[: 1 + int(at * 9)]):
            pen.text((20, 60 + 32 * row), line, fill=ink, font=_font(18))
        return image

    return draw


def _ground(rng: Random, contrast: float) -> Image.Image:
    """One tone, or two in stripes, tiles, waves or lines; any colours, often dull ones."""
    first = np.array(_colour(rng, *((60, 200), (0, 256))[rng.integers(2)]), float)
    if rng.random() < 0.5:  # dull
        first = first.mean() + (first - first.mean()) * 0.3
    second = first + rng.uniform(-contrast, contrast) + rng.uniform(-20, 20, 3)
    y, x = np.mgrid[:360, :360] + rng.uniform(0, 40, (2, 1, 1))
    step = rng.uniform(12, 90)
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    along = x * np.cos(angle) + y * np.sin(angle)
    cells = (
        along // step,
        x // step + y // step,
        (y + 0.4 * step * np.sin(x / step)) // step,
        x % step < 0.15 * step,
        y % step < 0.15 * step,
        (y % step < 0.2 * step)
        | ((x + step * (y // step % 2)) % (2 * step) < 0.2 * step),
        0 * x,
    )[rng.integers(7)]
    tone = np.where((cells % 2 > 0)[..., None], first, second)
    tone = tone + rng.normal(0, rng.uniform(0, 8), (90, 90, 1)).repeat(4, 0).repeat(
        4, 1
    )
    return Image.fromarray(tone.clip(0, 255).astype(np.uint8))


def _toys(rng: Random, contrast: float = 60) -> Draw:
    """Flat figures without letters cross a patterned ground."""
    ground = _ground(rng, contrast)
    toys = [
        (
            _colour(rng),
            rng.uniform(20, 130),
            rng.uniform(0, 360, 2),
            rng.uniform(-200, 200, 2),
            int(rng.integers(0, 9)),
        )
        for _ in range(int(rng.integers(0, 6)))
    ]

    def draw(at: float) -> Image.Image:
        image = ground.copy()
        pen = ImageDraw.Draw(image)
        for colour, side, place, speed, corners in toys:
            x, y = place + speed * at
            if corners < 3:
                pen.ellipse(
                    (x - side / 2, y - side / 2, x + side / 2, y + side / 2),
                    fill=colour,
                )
            else:
                pen.regular_polygon((x, y, side / 2), corners, fill=colour)
        return image

    return draw


def _page(rng: Random) -> Draw:
    """A light page with blocks of words, buttons and pictures that scrolls."""
    image = Image.new("RGB", (360, 900), _colour(rng, 225, 256))
    pen = ImageDraw.Draw(image)
    y = 0.0
    while y < 900:
        kind = rng.integers(3)
        high = rng.uniform(20, 110)
        if kind == 0:
            pen.rectangle((10, y, rng.uniform(80, 350), y + high), fill=_colour(rng))
        for row in range(int(high / 14)):
            pen.text(
                (14, y + 14 * row),
                _words(rng, 7),
                fill=_colour(rng, 0, 90),
                font=_font(10),
            )
        y += high + 8
    pace = rng.uniform(0, 500)
    return lambda at: image.crop((0, int(pace * at), 360, int(pace * at) + 360))


def _noise(rng: Random) -> Draw:
    """Noise of one grain and contrast about one tone."""
    tone, grain = np.array(_colour(rng), float), int(rng.choice([1, 2, 4, 9, 18]))
    contrast, depth = rng.uniform(3, 90), int(rng.choice([1, 3]))

    def draw(at: float) -> Image.Image:
        noise = rng.normal(0, contrast, (360 // grain, 360 // grain, depth))
        image = Image.fromarray((tone + noise).clip(0, 255).astype(np.uint8))
        return image.resize((360, 360), Image.Resampling.NEAREST)

    return draw


def _landscape(rng: Random) -> Draw:
    """A cartoon: sky, hills, houses, a walking figure; outlines or none."""
    sky, hills = _colour(rng, 120, 256), [_colour(rng, 30, 200) for _ in range(3)]
    phases, outline = rng.uniform(0, 9, 3), (0, 0, 0) if rng.random() < 0.5 else None
    houses = [
        (rng.uniform(0, 360), rng.uniform(25, 80), _colour(rng), _colour(rng))
        for _ in range(4)
    ]
    coat = _colour(rng)

    def draw(at: float) -> Image.Image:
        image = Image.new("RGB", (360, 360), sky)
        pen = ImageDraw.Draw(image)
        pen.ellipse((260, 20, 320, 80), fill=(250, 230, 90), outline=outline)
        for row, hill in enumerate(hills):
            tops = [
                (x, 150 + 50 * row + 25 * np.sin(x / 50 + phases[row]))
                for x in range(0, 361, 12)
            ]
            pen.polygon([(0, 360), *tops, (360, 360)], fill=hill, outline=outline)
        for x, side, wall, roof in houses:
            pen.rectangle((x, 260 - side, x + side, 260), fill=wall, outline=outline)
            pen.polygon(
                [
                    (x - 6, 260 - side),
                    (x + side / 2, 225 - side),
                    (x + side + 6, 260 - side),
                ],
                fill=roof,
                outline=outline,
            )
        x = 360 * at
        pen.ellipse((x, 240, x + 34, 274), fill=(240, 200, 170), outline=outline)
        pen.rectangle((x + 2, 274, x + 32, 330), fill=coat, outline=outline)
        return image

    return draw


def _lettered(rng: Random) -> Draw:
    """Figures that carry letters, on a plain or blended ground."""
    top, bottom = np.array(_colour(rng), float), np.array(_colour(rng), float)
    if rng.random() < 0.5:
        bottom = top
    blend = np.linspace(0, 1, 360)[:, None, None]
    ground = np.broadcast_to(top + (bottom - top) * blend, (360, 360, 3)).astype(
        np.uint8
    )
    toys = [
        (
            _colour(rng),
            rng.uniform(50, 150),
            rng.uniform(60, 300, 2),
            rng.uniform(-150, 150, 2),
            int(rng.integers(3, 9)),
            chr(65 + int(rng.integers(26))),
        )
        for _ in range(int(rng.integers(1, 5)))
    ]

    def draw(at: float) -> Image.Image:
        image = Image.fromarray(ground)
        pen = ImageDraw.Draw(image)
        for colour, side, place, speed, corners, letter in toys:
            x, y = place + speed * at
            pen.regular_polygon((x, y, side / 2), corners, fill=colour)
            pen.text((x, y), letter, fill="white", font=_font(side / 3), anchor="mm")
        return image

    return draw


def _terminal(rng: Random) -> Draw:
    """Coloured words on a dark window, more of them as time goes."""
    ground, inks = _colour(rng, 10, 60), [_colour(rng, 100, 256) for _ in range(5)]
    lines = [_words(rng, 6) for _ in range(28)]

    def draw(at: float) -> Image.Image:
        image = Image.new("RGB", (360, 360), ground)
        pen = ImageDraw.Draw(image)
        for row, line in enumerate(lines[: 8 + int(at * 20)]):
            pen.text((8, 12 * row), line, fill=inks[row % 5], font=_font(10))
        return image

    return draw


def _charts(rng: Random) -> Draw:
    """Bars, lines and a table of numbers on a light or dark board."""
    ground = _colour(rng, *((200, 256), (20, 80))[rng.integers(2)])
    ink, bars = tuple(255 - c for c in ground), [_colour(rng) for _ in range(7)]
    heights, curve = rng.uniform(20, 150, 7), rng.normal(0, 12, 60).cumsum()

    def draw(at: float) -> Image.Image:
        image = Image.new("RGB", (360, 360), ground)
        pen = ImageDraw.Draw(image)
        for i, high in enumerate(heights * (0.5 + at / 2)):
            pen.rectangle((20 + 24 * i, 180 - high, 38 + 24 * i, 180), fill=bars[i])
        pen.line(
            [(210 + 2.4 * i, 100 + y) for i, y in enumerate(curve)], fill=ink, width=2
        )
        for row in range(8):
            pen.line((10, 200 + 18 * row, 350, 200 + 18 * row), fill=ink)
            pen.text((14, 202 + 18 * row), _words(rng, 5), fill=ink, font=_font(11))
        return image

    return draw


def _clouds(rng: Random) -> Draw:
    """Smooth clouds between two colours that drift."""
    sheet = np.zeros((540, 540))
    for size in (4, 9, 20, 45, 90):
        layer = Image.fromarray(rng.normal(0, 1, (size, size)).astype(np.float32))
        sheet += (
            np.asarray(layer.resize((540, 540), Image.Resampling.BICUBIC)) * 9 / size
        )
    sheet = (sheet - sheet.min()) / np.ptp(sheet)
    first, second = np.array(_colour(rng), float), np.array(_colour(rng), float)
    whole = Image.fromarray(
        (first + (second - first) * sheet[..., None]).astype(np.uint8)
    )
    if rng.random() < 0.3:
        whole = whole.filter(ImageFilter.EDGE_ENHANCE_MORE)
    return lambda at: whole.crop((int(180 * at), 0, int(180 * at) + 360, 360))


def _chess(rng: Random) -> Draw:
    """Men on a board, one of whom moves."""
    light, dark, frame = _colour(rng, 140, 256), _colour(rng, 0, 160), _colour(rng)
    men = [(rng.integers(0, 8, 2), int(rng.integers(2))) for _ in range(18)]

    def draw(at: float) -> Image.Image:
        image = Image.new("RGB", (360, 360), frame)
        pen = ImageDraw.Draw(image)
        for row in range(8):
            for column in range(8):
                x, y = 20 + 40 * column, 20 + 40 * row
                fill = light if (row + column) % 2 else dark
                pen.rectangle((x, y, x + 40, y + 40), fill=fill)
        for number, (place, side) in enumerate(men):
            x, y = 24 + 40 * place + (60 * at if number == 0 else 0)
            pen.ellipse((x, y, x + 32, y + 32), fill=(20, 20, 20) if side else "white")
        return image

    return draw


def _blocks(rng: Random) -> Draw:
    """A game of falling blocks."""
    ground, colours = _colour(rng, 0, 120), [_colour(rng, 60, 256) for _ in range(7)]
    pile = rng.integers(-3, 7, (6, 12))

    def draw(at: float) -> Image.Image:
        image = Image.new("RGB", (360, 360), ground)
        pen = ImageDraw.Draw(image)
        for row, cells in enumerate(pile):
            for column, cell in enumerate(cells):
                if cell >= 0:
                    x, y = 30 * column, 180 + 30 * row
                    pen.rectangle((x, y, x + 28, y + 28), fill=colours[cell])
        for step in range(4):
            y = int(160 * at)
            pen.rectangle(
                (120 + 30 * step, y, 148 + 30 * step, y + 28), fill=colours[0]
            )
        pen.text((8, 8), f"score {int(900 * at)}", fill="white", font=_font(18))
        return image

    return draw


def _map(rng: Random) -> Draw:
    """Countries in flat colours with names; the view moves."""
    places = rng.uniform(0, 540, (24, 2))
    colours = np.array([_colour(rng, 90, 240) for _ in places], np.uint8)
    y, x = np.mgrid[:540, :540]
    far = [(x - a) ** 2 + (y - b) ** 2 for a, b in places]
    whole = Image.fromarray(colours[np.argmin(far, 0)])
    pen = ImageDraw.Draw(whole)
    for a, b in places:
        pen.text((a - 20, b), _words(rng, 1), fill=(40, 40, 40), font=_font(16))
    return lambda at: whole.crop((int(180 * at), 60, int(180 * at) + 360, 420))


DRAWN: dict[str, Callable[[Random], Draw]] = {
    "slides": _slides,
    "toys": _toys,
    "boards": partial(_toys, contrast=200),
    "page": _page,
    "noise": _noise,
    "landscape": _landscape,
    "lettered": _lettered,
    "terminal": _terminal,
    "charts": _charts,
    "clouds": _clouds,
    "chess": _chess,
    "blocks": _blocks,
    "map": _map,
}
BUILD_DRAWN = ("slides", "toys", "page", "noise", "boards")
"""What of `DRAWN` the model is made with; the others are held out."""
