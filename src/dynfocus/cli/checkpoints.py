"""``dynfocus assemble`` and ``export-language-model``: weights in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import load_model, print_json, say
from dynfocus.cli.options import Dtype, Json, Precision


@command(
    "dynfocus assemble --vision-from Salesforce/instructblip-vicuna-7b "
    "--language-model lmsys/vicuna-7b-v1.5 dynfocus-7b",
    "dynfocus assemble --vision-from eva_vit_g.pth "
    "--qformer-from instruct_blip_vicuna7b_trimmed.pth "
    "--question-tokenizer bert-base-uncased "
    "--language-model lmsys/vicuna-7b-v1.5 dynfocus-7b",
    "dynfocus assemble --architecture slowfocus --vision-from openai/clip-vit-large-patch14 "
    "--qformer-from Salesforce/instructblip-vicuna-7b "
    "--language-model lmsys/vicuna-7b-v1.5 --context-length 8192 slowfocus-7b",
)
def assemble(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of the new model.")
    ],
    vision_from: Annotated[
        str,
        typer.Option(
            metavar="SOURCE",
            help="The vision tower: InstructBLIP, eva_vit_g.pth, LLaMA-VID, or any CLIP "
            "or SigLIP; a file, a folder or a name on the hub.",
        ),
    ],
    language_model: Annotated[
        str,
        typer.Option(
            metavar="SOURCE",
            help="Any causal language model, or LLaMA-VID; a folder or a name on the hub.",
        ),
    ],
    qformer_from: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="The Q-Former, if not the one of LLaMA-VID or of --vision-from.",
        ),
    ] = None,
    connector_from: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Trained projectors: LLaMA-VID or its mm_projector.bin.",
        ),
    ] = None,
    question_tokenizer: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Tokenizer of the Q-Former, if it has none beside it.",
        ),
    ] = None,
    architecture: Annotated[
        Literal["dynfocus", "slowfocus"],
        typer.Option(
            help="What makes the tokens of frames: DynFocus's Cones and Rods, or "
            "SlowFocus's context token and grid."
        ),
    ] = "dynfocus",
    focus: Annotated[
        Literal["paper", "official"],
        typer.Option(help="Settings of the paper or of the published code."),
    ] = "paper",
    mixing: Annotated[
        Literal["high_from_low", "bi", "off"],
        typer.Option(
            help="SlowFocus: who looks at whom when there are frames of two frequencies."
        ),
    ] = "high_from_low",
    context_length: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tokens that the language model shall read, if more than it does, by "
            "linear scaling of its positions.",
        ),
    ] = None,
    text_side: Annotated[
        Literal["text", "frame_queries"],
        typer.Option(
            help="What Rods read: the question alone (the paper), or the Q-Former's "
            "queries of every frame (LLaMA-VID, the published code)."
        ),
    ] = "text",
    image_mean: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Mean of the colours, if the tower's files do not say."),
    ] = None,
    image_std: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Their deviation, if the tower's files do not say."),
    ] = None,
    dtype: Annotated[
        Precision, typer.Option(help="Precision of all weights.")
    ] = "bfloat16",
    max_shard_size: Annotated[
        str, typer.Option(metavar="SIZE", help="Largest file of weights.")
    ] = "2GB",
    seed: Annotated[int, typer.Option(help="Decides the fresh weights.")] = 0,
    json: Json = False,
) -> None:
    """Put a trainable model together from checkpoints of others.

    Every tensor is accounted for: loaded, initialised fresh, or left unused. A file
    that does not fit is refused. Prints the folder.
    """
    import torch

    from dynfocus import conversion
    from dynfocus.focus import FocusSettings, SlowFocusSettings

    if architecture == "slowfocus" and (focus, text_side) != ("paper", "text"):
        raise typer.BadParameter(
            "--focus and --text-side are DynFocus's; leave them out with --architecture "
            "slowfocus"
        )
    if architecture == "dynfocus" and mixing != "high_from_low":
        raise typer.BadParameter("--mixing needs --architecture slowfocus")
    conversion.check_folder(out)
    choices = conversion.Choices(
        focus=getattr(FocusSettings, focus)(),
        slow=SlowFocusSettings(mixing=mixing) if architecture == "slowfocus" else None,
        context_length=context_length,
        text_side=text_side,
        question_tokenizer=question_tokenizer,
        image_mean=image_mean,
        image_std=image_std,
        dtype=getattr(torch, dtype),
        seed=seed,
    )
    made = conversion.assemble(
        vision_from,
        language_model,
        qformer_from=qformer_from,
        connector_from=connector_from,
        choices=choices,
    )
    made.save(out, max_shard_size=max_shard_size)
    for line in made.report.lines():
        say(line)
    if json:
        print_json({"folder": str(out), **made.report.to_dict()})
    else:
        print(out)


@command(
    "dynfocus export-language-model nano nano-language",
    "dynfocus export-language-model my-model my-language --dtype bfloat16",
    name="export-language-model",
)
def export_language_model(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help='"nano", a folder with a model, or a name on the hub.'
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new or empty folder.")],
    dtype: Dtype = None,
) -> None:
    """Write the language model of a model alone, for a vLLM server.

    The folder also has the tokenizer and a chat template under which the server reads
    the prompt of the model token for token. Precision is the model's own by default.
    Prints the folder.
    """
    from dynfocus.conversion import export_language_model as export
    from dynfocus.models.loading import load_config

    precision: str | None = dtype
    if precision is None:
        own = load_config(model)[0].dtype
        precision = "float32" if own is None else str(own).removeprefix("torch.")
    focused = load_model(
        model, dtype=precision, index_folder=False, needs="prompt_embeds"
    )
    print(export(focused, out))
    say(f"serve it with: vllm serve {out} --enable-prompt-embeds")
