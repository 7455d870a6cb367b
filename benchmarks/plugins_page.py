"""The page that `plugins.py` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_NAMES = {
    "dynfocus": "DynFocus",
    "uniform": "uniform frames",
    "none": "all frames whole",
}


def prompt_flops(sizes: dict[str, int], num_tokens: int) -> int:
    """Count the FLOPs of the language model's products over a prompt, at full depth.

    Two a multiply-add; attention counts every pair of tokens, as a dense product does.
    """
    width = sizes["hidden_size"]
    keys = width // sizes["language_heads"] * sizes["key_value_heads"]
    weights = 2 * width * (width + keys) + 3 * width * sizes["language_mlp"]
    layer = 2 * num_tokens * weights + 4 * num_tokens**2 * width
    return sizes["language_layers"] * layer


def write_page(result: dict[str, Any], folder: Path) -> str:
    """Write the table as Markdown and JSON."""
    sizes, built = result["sizes"], result["built"]
    lines = [
        "# DynFocus on the models people already have: cost",
        "",
        f"`{result['command']}`, commit {result['commit'][:12]}, {result['device']}, "
        "float32, random weights at true widths.",
        *([result["note"]] if result["note"] else []),
        "",
        "| host | read | share | video tokens | frames encoded | tower | choosing "
        "| prompt | writing | whole | TFLOPs of the prompt | keys and values |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in result["rows"]:
        cells = [*row["stages"].values(), row["seconds"]]
        shown = " | ".join(f"{cell:.2f}" for cell in cells)
        lines.append(
            f"| {row['host']} | {_NAMES[row['method']]} | {100 * row['share']:.0f} % "
            f"| {row['video_tokens']} | {row['frames_read']} | {shown} "
            f"| {prompt_flops(sizes, row['prompt_tokens']) / 1e12:.1f} "
            f"| {row['cache_bytes'] / 2**20:.1f} MiB |"
        )
    lines += [
        "",
        f"{result['seconds']} of an answer of {sizes['num_new_tokens']} tokens. The towers were built "
        f"with {built['tower']} of {sizes['siglip_layers']} and {sizes['qwen_layers']} "
        f"layers and the language models with {built['language']} of "
        f"{sizes['language_layers']}; their seconds are multiplied to full depth. "
        "Preparing the frames is counted in the tower, and the language model's head is "
        "not there. TFLOPs are those of the language "
        "model's products over the whole prompt at full depth, two operations a "
        "multiply-add, and keys and values those of the video tokens at full depth in "
        f"bfloat16, {result['cache_bytes_per_token']} bytes a token; both are exact. "
        "Uniform frames encode only the frames that are read; DynFocus looks at all of "
        "them, so its tower costs what that of all frames does, once a video: a second "
        "question finds them encoded. Nothing is said here about answers: weights are "
        "random.",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=2) + "\n"
    (folder / "plugins.json").write_text(text, encoding="utf-8")
    page = "\n".join([*lines, ""])
    (folder / "plugins.md").write_text(page, encoding="utf-8")
    return page
