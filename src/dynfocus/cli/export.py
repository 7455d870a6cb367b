"""``dynfocus export-language-model``: what a vLLM server serves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dynfocus.cli.commands import command
from dynfocus.cli.console import load_model, say
from dynfocus.cli.options import Dtype


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

    if dtype is not None:
        precision = dtype.value
    else:
        own = load_config(model)[0].dtype
        precision = "float32" if own is None else str(own).removeprefix("torch.")
    focused = load_model(
        model, dtype=precision, index_folder=False, needs="prompt_embeds"
    )
    print(export(focused, out))
    say(f"serve it with: vllm serve {out} --enable-prompt-embeds")
