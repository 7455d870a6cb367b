"""The exported language model: whole, and its prompts equal ours token for token."""

from __future__ import annotations

import json

import pytest
import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from dynfocus.conversion import export_language_model
from dynfocus.conversion.exporting import serving_messages, serving_template
from dynfocus.models.conversation import Turn, build_conversation
from dynfocus.models.dynfocus import DynFocusProcessor
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.models.prompts import CHAT_TEMPLATE, VICUNA_CHAT_TEMPLATE
from dynfocus.models.video_model import VideoModel
from served_language_model import MARK, detect_format

HISTORY = (Turn(" who is first ?", "a man"), Turn("one ?\n", "yes"))
QUESTIONS = ("what is on the red square ?", " is it \"red\" ,\n or 'blue' ? ")


def add_special_tokens(tokenizer):
    """Let the tokenizer put its first token in front, as that of a Llama does."""
    core = tokenizer.backend_tokenizer
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, VICUNA_CHAT_TEMPLATE])
@pytest.mark.parametrize("adds_first_token", [True, False])
@pytest.mark.parametrize("content_format", ["openai", "string"])
def test_the_served_prompt_is_ours_token_for_token(
    make_model, make_processor, tmp_path, template, adds_first_token, content_format
):
    processor = make_processor(chat_template=template)
    if adds_first_token:
        add_special_tokens(processor.tokenizer)
    folder = export_language_model(
        VideoModel(FeatureBackbone(make_model(), processor, "tiny")), tmp_path / "out"
    )
    served = AutoTokenizer.from_pretrained(folder)
    assert detect_format(served.chat_template) == "openai"
    served.add_special_tokens({"additional_special_tokens": [MARK]})
    mark_id = served.convert_tokens_to_ids(MARK)
    for history in ((), HISTORY):
        for question in QUESTIONS:
            messages = serving_messages(
                history, question, {"type": "text", "text": MARK}
            )
            if content_format == "string":
                messages = [
                    one | {"content": "\n".join(p["text"] for p in one["content"])}
                    for one in messages
                ]
            theirs = served.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=True, return_dict=False
            )
            text = processor.apply_chat_template(
                build_conversation(history, question), add_generation_prompt=True
            )
            ours = processor.tokenizer(text)["input_ids"]
            marked = [mark_id if t == processor.video_token_id else t for t in ours]
            assert theirs == marked
            assert theirs.count(mark_id) == 1
            assert theirs.count(served.bos_token_id) == adds_first_token


def letter_tokenizer(is_legacy: bool) -> PreTrainedTokenizerFast:
    """Build a tokenizer of letters that marks spaces as that of a Llama does."""
    letters = {chr(code): code - 28 for code in range(33, 127)} | {"\u2581": 99}
    special = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "\n": 4}
    core = Tokenizer(BPE({**special, **letters, "\u2581U": 100}, [("\u2581", "U")]))
    if is_legacy:
        replace = normalizers.Replace(" ", "\u2581")
        core.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), replace])
    else:
        core.pre_tokenizer = pre_tokenizers.Metaspace(
            prepend_scheme="first", split=False
        )
    names = {f"{name}_token": f"<{token}>" for name, token in
             (("pad", "pad"), ("bos", "s"), ("eos", "/s"), ("unk", "unk"))}  # fmt: skip
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **names)
    tokenizer.add_tokens("<video>", special_tokens=True)
    add_special_tokens(tokenizer)
    return tokenizer


@pytest.mark.parametrize("is_legacy", [True, False])
@pytest.mark.parametrize("template", [CHAT_TEMPLATE, VICUNA_CHAT_TEMPLATE])
def test_prompts_agree_where_the_first_word_is_marked(
    make_model, make_processor, is_legacy, template
):
    tokenizer = letter_tokenizer(is_legacy)
    processor = DynFocusProcessor(tokenizer, frame_size=28, chat_template=template)
    focused = VideoModel(FeatureBackbone(make_model(), processor, "letters"))
    exported = serving_template(focused)
    text = processor.apply_chat_template(
        build_conversation(HISTORY, "Who?"), add_generation_prompt=True
    )
    ours = tokenizer(text)["input_ids"]
    tokenizer.add_special_tokens({"additional_special_tokens": [MARK]})
    theirs = tokenizer.apply_chat_template(
        serving_messages(HISTORY, "Who?", {"type": "text", "text": MARK}),
        chat_template=exported,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
    )
    mark_id = tokenizer.convert_tokens_to_ids(MARK)
    assert theirs == [mark_id if t == processor.video_token_id else t for t in ours]
    assert 3 not in theirs


def test_the_weights_and_the_tokenizer_are_those_of_the_model(focused, tmp_path):
    folder = export_language_model(focused, tmp_path / "out")
    assert not (folder / "processor_config.json").exists()
    fields = json.loads((folder / "tokenizer_config.json").read_text())
    assert "processor_class" not in fields
    language_model = AutoModelForCausalLM.from_pretrained(folder)
    ours = focused.model.language_model.state_dict()
    theirs = language_model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.get_vocab() == focused.processor.tokenizer.get_vocab()
    assert language_model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert language_model.generation_config.do_sample is not True


def test_a_folder_that_holds_something_is_refused(focused, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ValueError, match="is there and not empty; choose another"):
        export_language_model(focused, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_prompts_that_a_template_cannot_give_are_refused(focused, tmp_path):
    tokenizer = focused.processor.tokenizer
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        special_tokens=[("<s>", 1), ("</s>", tokenizer.eos_token_id)],
    )
    with pytest.raises(ValueError, match="no chat template gives the prompts of tiny"):
        export_language_model(focused, tmp_path / "out")
    assert not (tmp_path / "out").exists()
