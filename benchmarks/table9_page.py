"""The page that `table9.py` writes: its tables beside those of the paper."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAPER_TABLE_9 = {  # GFLOPs, million parameters, milliseconds on an A100
    "S-DPC": (0.0, 0.0, 50.84),
    "dynamic encoding": (112.16, 30.31, 15.96),
    "T-DPC": (0.0, 0.0, 608.28),
    "dynamic selection": (12.91, 11.87, 3.02),
}
_CORE = (
    "Times are those of one core at work, so other work on the machine counts little."
)
PAPER_TABLE_10 = "LLaMA-VID 1.3, 3.8 and 6.3 s, DynFocus 1.4, 6.4 and 7.8 s"


def write_page(result: dict[str, Any], folder: Path) -> str:
    """Write both tables as Markdown and JSON."""
    lines = [
        "# Cost: Tables 9 and 10 of the paper",
        "",
        f"`{result['command']}`, commit {result['commit'][:12]}, {result['device']}, "
        f"{result['dtype']}, torch {result['torch']}, random weights at true size.",
        *([_CORE] if result["clock"] == "core" else []),
        *([result["note"]] if result["note"] else []),
        "",
        f"## Table 9: {result['num_frames']} frames",
        "",
        "| module | parameters | GFLOPs | G multiply-adds | ms "
        "| paper: parameters | GFLOPs | ms (A100) |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in result["table_9"].items():
        flops, parameters, milliseconds = PAPER_TABLE_9[name]
        lines.append(
            f"| {name} | {row['million_parameters']:.2f} M | {row['gflops']:.2f} "
            f"| {row['gflops'] / 2:.2f} | {row['milliseconds']:.2f} | {parameters:.2f} M | {flops:.2f} "
            f"| {milliseconds:.2f} |"
        )
    lines += [
        "",
        "GFLOPs count matrix products, two operations a multiply-add. Those of S-DPC and "
        "T-DPC are distances and means, which the paper does not count. Dynamic encoding "
        "has the projection of the question too (1.08 M at true size); without it, it has "
        "the paper's 30.31 M. The paper's 12.91 of dynamic selection match the 12.90 M "
        "weights of the published score network, once for each of 1000 frames; ours is the "
        f"smaller network of Eq. 6 and scores {result['num_prototypes']} prototypes. Its "
        "112.16 of dynamic encoding do not follow from Eq. 10 to 13 with 20 kept frames. "
        f"S-DPC runs in windows of {result['sizes']['window']} frames.",
    ]
    if result["table_10"]:
        lines += ["", "## Table 10: seconds of an answer", "", *_table_10(result)]
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=2) + "\n"
    (folder / "table9.json").write_text(text, encoding="utf-8")
    page = "\n".join([*lines, ""])
    (folder / "table9.md").write_text(page, encoding="utf-8")
    return page


def _table_10(result: dict[str, Any]) -> list[str]:
    sizes = result["sizes"]
    lines = [
        "| frames | way | video tokens | tower | question | connector | prompt | writing "
        "| whole | connector's share |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in result["table_10"]:
        stages = row["stages"]
        connector = row["connector_share"] * row["seconds"]
        cells = [stages["vision tower"], stages["question"], connector]
        cells += [stages["prompt"], stages["writing"], row["seconds"]]
        shown = " | ".join(f"{cell:.3f}" for cell in cells)
        lines.append(
            f"| {row['frames']} | {row['way']} | {row['video_tokens']} | {shown} "
            f"| {100 * row['connector_share']:.2f} % |"
        )
    tower = result["built_tower_layers"], sizes["tower_layers"]
    language = result["built_language_layers"], sizes["language_layers"]
    scaled = (
        f" The tower was built with {tower[0]} of {tower[1]} layers and the language model "
        f"with {language[0]} of {language[1]}; their seconds are multiplied to full depth."
        if tower[0] < tower[1] or language[0] < language[1]
        else ""
    )
    return [
        *lines,
        "",
        f"Answers of {sizes['num_new_tokens']} tokens, without reading the video file and "
        "without the language model's head. The tower, LLaMA-VID's queries and its "
        f"connector are measured on {sizes['window']} frames and multiplied.{scaled} The "
        f"paper's Table 10 has, for MSVD, ANet-QA and VideoMME: {PAPER_TABLE_10}.",
    ]
