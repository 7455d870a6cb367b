"""The options of loading and asking."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from dynfocus.models.options import AskOptions, LoadOptions


def test_options_are_replaced_and_checked_again():
    options = AskOptions(max_frames=3)
    assert options.replace() is options
    assert options.replace(fps=2) == AskOptions(fps=2.0, max_frames=3)
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1, got 0"):
        options.replace(max_new_tokens=0)


def test_a_precision_may_be_named_or_given():
    for dtype in ("bfloat16", torch.bfloat16):
        assert LoadOptions(dtype=dtype).torch_dtype == torch.bfloat16
    assert LoadOptions().torch_dtype is None
    with pytest.raises(ValueError, match="dtype must be one of bfloat16, .*got 'half'"):
        LoadOptions(dtype="half")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"quantize": "2bit"}, "quantize must be one of '8bit' or '4bit', got '2bit'"),
        ({"storage": "tiny"}, "storage must be one of 'exact' or 'compact'"),
        ({"device": "cpu", "device_map": "auto"}, "only one of device and device_map"),
        ({"device_map": 3}, "device_map must be a text or a mapping, got 3"),
    ],
)
def test_wrong_ways_to_load_are_one_sentence(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        LoadOptions(**given)


def test_options_need_no_torch():
    code = "import sys, dynfocus.models.options; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
