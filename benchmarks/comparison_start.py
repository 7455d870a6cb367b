"""Make a start for `dynfocus eval methods` that favours no way to mark frames.

git archive f67de37 src/dynfocus/assets/nano | tar x -C FOLDER --strip-components=4
python benchmarks/comparison_start.py FOLDER runs/comparison-start
dynfocus eval methods --model runs/comparison-start

The language model that the package ships has learned to lean on the marks of rated frames,
so a system without them would be asked to unlearn that. This takes an earlier release,
which never read a mark, and gives it nothing but the shipped model's rating of frames.
The marks themselves are fresh.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from dynfocus.focus import FocusSettings
from dynfocus.models.dynfocus import DynFocusConfig, DynFocusForConditionalGeneration
from dynfocus.models.loading import load_parts

_PLACE = "cooperative_encoding.relevance_encoding."
_SETTINGS = ("use_ratings", "use_visit_counts")
_SHARED = ("vision_tower.", "text_encoder.")


def make_start(before: str | Path, rater: str | Path, target: str | Path) -> None:
    """Write the earlier model with the rating of another.

    Args:
        before: Folder of the earlier model.
        rater: Model whose frames are rated.
        target: Folder to write.

    Raises:
        ValueError: If the two do not share what ratings are made from.
    """
    model, processor = load_parts(before, device="cpu", dtype=torch.float32)
    rating, _ = load_parts(rater, device="cpu", dtype=torch.float32)
    state = rating.state_dict()
    for name, tensor in model.state_dict().items():
        if name.startswith(_SHARED) and not torch.equal(tensor, state[name]):
            raise ValueError(f"{before} and {rater} differ in {name}")
    ours = rating.settings.extensions
    changes = {"question": {name: getattr(ours, name) for name in _SETTINGS}}
    focus = FocusSettings.from_dict(model.settings.to_dict() | changes).to_dict()
    processor.focus = focus
    config = DynFocusConfig.from_dict(model.config.to_dict() | {"focus": focus})
    fresh = DynFocusForConditionalGeneration(config)
    fresh.load_state_dict(model.state_dict(), strict=False)
    model = fresh
    taught = {k: v for k, v in state.items() if k.startswith(_PLACE)}
    model.load_state_dict(taught, strict=False)
    torch.manual_seed(0)
    words = float(model.get_input_embeddings().weight.detach().std())
    model.cooperative_encoding.relevance_encoding.draw_marks(words)
    model.save_pretrained(target)
    processor.save_pretrained(target)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--rater", default="nano")
    options = parser.parse_args()
    make_start(options.before, options.rater, options.target)


if __name__ == "__main__":
    main()
