"""Asking: answers, their accounting, indexes, conversations, errors."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import tokenization_utils_base

import dynfocus
from dynfocus.errors import NonFiniteLogitsError, SeveralVideosWarning
from dynfocus.focus import FocusSettings, QuestionSettings
from dynfocus.index import VideoGroup, VideoIndex
from dynfocus.models import AskOptions, FrameReport, Turn, one_pass
from dynfocus.models.conversation import build_conversation, find_best_frame
from dynfocus.models.dynfocus import VideoInputs
from dynfocus.models.feature_backbone import FeatureBackbone
from dynfocus.models.generation import Written
from dynfocus.models.video_model import VideoModel
from dynfocus.video import VideoReader
from dynfocus.world import make_video

QUESTION = "what is on the red square ?"


@pytest.mark.parametrize("budget", [None, 36, 14])
def test_an_answer_accounts_for_every_token(focused, clip, budget, monkeypatch):
    seen = []
    generate = focused.model.generate

    def spy(**arguments):
        seen.append(arguments["inputs_embeds"].shape[1])
        return generate(**arguments)

    monkeypatch.setattr(focused.model, "generate", spy)
    answer = focused.ask(clip, QUESTION, max_new_tokens=3, max_video_tokens=budget)
    bare = focused.processor.apply_chat_template(
        [{"role": "user", "content": "<video>" + QUESTION}], add_generation_prompt=True
    )
    num_words = len(focused.processor.tokenizer(bare)["input_ids"]) - 1
    assert seen == [num_words + answer.tokens]
    assert sum(frame.tokens for frame in answer.frames) == answer.tokens
    numbers = [frame.index for frame in answer.frames]
    assert numbers == sorted(set(numbers))
    assert [frame.time for frame in answer.frames] == [float(n) for n in numbers]
    times = [frame.time for frame in answer.frames]
    assert times == sorted(times)
    assert all(0 <= frame.score <= 1 for frame in answer.frames)
    assert {frame.kind for frame in answer.frames} <= {"cone", "rod"}
    assert answer.question == QUESTION
    assert answer.seconds > 0
    if budget is None:
        assert len(answer.frames) == 6
    else:
        assert answer.tokens <= budget
    assert json.loads(json.dumps(answer.to_dict())) == answer.to_dict()


def test_answers_are_the_same_every_time_and_from_an_index(focused, clip):
    first = focused.ask(clip, QUESTION, max_new_tokens=5)
    index = focused.index(clip)
    for video in (clip, str(clip), index, index.features):
        again = focused.ask(video, QUESTION, max_new_tokens=5)
        assert again.text == first.text
        assert again.frames == first.frames


def test_a_second_question_neither_decodes_nor_encodes(focused, clip, monkeypatch):
    index = focused.index(clip, fps=2.0)
    monkeypatch.setattr(focused.model, "encode_frames", None)
    monkeypatch.setattr("dynfocus.models.encoding.VideoReader", None)
    answer = focused.ask(index, QUESTION, max_new_tokens=2)
    assert len(answer.frames) == 12
    few = focused.ask(index, QUESTION, max_new_tokens=2, max_frames=3)
    assert len(few.frames) == 3


@pytest.mark.parametrize("budget", [None, 14])
def test_scores_are_those_of_the_answer_without_the_language_model(
    focused, clip, budget, monkeypatch
):
    wanted = focused.ask(clip, QUESTION, max_new_tokens=1, max_video_tokens=budget)

    def refuse(*arguments, **named):
        raise AssertionError("the language model ran")

    monkeypatch.setattr(focused.model.language_model, "forward", refuse)
    for video in (clip, focused.index(clip)):
        frames = focused.score_frames(video, QUESTION, max_video_tokens=budget)
        assert frames == wanted.frames
    with pytest.raises(ValueError, match="the question is empty"):
        focused.score_frames(clip, " ")


def test_a_model_tells_whether_its_scores_see_the_question(make_model, make_processor):
    settings = FocusSettings(
        num_spatial_prototypes=(4, 2),
        num_spatial_neighbors=(3, 2),
        question=QuestionSettings(use_question_scores=True),
    )
    seeing = VideoModel(
        FeatureBackbone(make_model(settings), make_processor(settings), "tiny")
    )
    assert seeing.scores_see_question
    assert not VideoModel(
        FeatureBackbone(make_model(), make_processor(), "tiny")
    ).scores_see_question


def test_an_index_describes_its_video(focused, clip):
    index = focused.index(clip)
    assert isinstance(index, VideoIndex)
    assert index.source == str(clip)
    assert index.duration == pytest.approx(6.0, abs=0.3)
    assert index.num_frames == index.features.num_frames == 6
    assert index.thumbnails.dtype == np.uint8
    assert index.thumbnails.shape == (6, 14, 28, 3)  # the clip is twice as wide as high
    assert index.features.prototypes.features.shape[:2] == (1, 5)
    assert focused.index(index) is index


def test_progress_covers_decoding_and_encoding(focused, clip):
    steps = []
    focused.index(clip, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (12, 12)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert len({total for _, total in steps}) == 1


def test_text_streams_while_it_is_written(focused, clip):
    pieces: list[str] = []
    answer = focused.ask(clip, QUESTION, max_new_tokens=6, on_text=pieces.append)
    assert "".join(pieces).strip() == answer.text
    assert answer.text


def test_frames_without_a_file_can_be_asked_about(focused, make_frames):
    answer = focused.ask(make_frames(4), QUESTION, fps=2.0, max_new_tokens=2)
    assert [frame.time for frame in answer.frames] == [0.0, 0.5, 1.0, 1.5]


def test_a_conversation_keeps_its_turns_and_encodes_once(focused, clip, monkeypatch):
    session = focused.chat(clip)
    monkeypatch.setattr(focused.model, "encode_frames", None)
    prompts = []
    write = focused.processor.prompt_ids

    def spy(text, *args):
        prompts.append(text)
        return write(text, *args)

    monkeypatch.setattr(focused.processor, "prompt_ids", spy)
    first = session.ask(QUESTION, max_new_tokens=3)
    second = session.ask("where ?", max_new_tokens=3)
    assert [turn.answer for turn in session.turns] == [first.text, second.text]
    assert prompts[1].count("<video>") == 1
    assert QUESTION in prompts[1]
    assert first.text in prompts[1]
    assert sum(frame.tokens for frame in second.frames) == second.tokens


@pytest.mark.parametrize("budget", [None, 36, 14])
@pytest.mark.parametrize("question_first", [True, False])
def test_a_prepared_prompt_is_that_of_the_processor(
    focused, clip, budget, question_first, monkeypatch
):
    monkeypatch.setattr(focused.processor, "question_first", question_first)
    index, history = focused.index(clip), (Turn("where ?", "on the red circle"),)
    options = AskOptions(max_video_tokens=budget)
    turn = focused.prepare(index, f" {QUESTION}\n", options, history)
    processor = focused.processor
    text = processor.apply_chat_template(
        build_conversation(history, QUESTION), add_generation_prompt=True
    )
    inputs = processor(
        text=text, videos=[index], questions=[QUESTION], max_video_tokens=budget
    )
    with torch.inference_mode():
        embeds, (tokens,) = focused.model.embed_prompt(
            inputs["input_ids"], VideoInputs.of(inputs)
        )
    assert torch.equal(turn.input_ids, inputs["input_ids"])
    assert torch.equal(turn.embeds, embeds)
    assert [frame.index for frame in turn.frames] == tokens.frame_indices.tolist()


@pytest.mark.parametrize("method", ["uniform", "scenetilling"])
def test_a_selector_chooses_which_frames_the_model_is_shown(focused, clip, method):
    index = focused.index(clip)
    whole = focused.ask(index, QUESTION, max_new_tokens=1)
    few = focused.ask(index, QUESTION, method=method, max_new_tokens=1)
    cones = sum(frame.kind == "cone" for frame in whole.frames)
    assert len(few.frames) == cones < len(whole.frames)
    times = {frame.index: frame.time for frame in whole.frames}
    assert all(times[frame.index] == frame.time for frame in few.frames)
    assert sum(frame.tokens for frame in few.frames) == few.tokens < whole.tokens
    some = (few.tokens + whole.tokens) // 2
    more = focused.ask(
        index, QUESTION, method=method, max_video_tokens=some, max_new_tokens=1
    )
    assert few.tokens <= more.tokens <= some
    free = focused.ask(
        index, QUESTION, method=method, max_video_tokens=9999, max_new_tokens=1
    )
    assert free.frames == whole.frames  # a budget that does not bind


def test_wrong_questions_are_refused_in_one_sentence(focused, clip):
    with pytest.raises(ValueError, match="the question is empty"):
        focused.ask(clip, "  ")
    with pytest.raises(ValueError, match="must not contain <video>"):
        focused.ask(clip, "what is <video> ?")
    with pytest.raises(
        ValueError, match="method must be one of dcode, dynfocus, .* got 'magic'"
    ):
        focused.ask(clip, QUESTION, method="magic")
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1, got 0"):
        focused.ask(clip, QUESTION, max_new_tokens=0)
    with pytest.raises(ValueError, match="max_video_tokens must be at least 12"):
        focused.ask(clip, QUESTION, max_video_tokens=3)
    with pytest.raises(ValueError, match="the question is empty"):
        focused.chat(clip).ask("")


def test_a_prompt_longer_than_the_context_is_refused(focused, make_frames, monkeypatch):
    with pytest.raises(ValueError, match=r"\d+ tokens .* 500, more than the 512 that"):
        focused.ask(make_frames(9), QUESTION, max_new_tokens=500)
    told = []
    monkeypatch.setattr(tokenization_utils_base.logger, "warning", told.append)
    focused.processor.tokenizer.model_max_length = 100
    with pytest.raises(ValueError, match="use fewer frames .*max_video_tokens"):
        focused.ask(make_frames(300), QUESTION)
    assert told == []  # what transformers says of the same


def test_logits_that_are_not_numbers_are_reported(focused, make_frames):
    with torch.no_grad():
        focused.model.get_output_embeddings().weight.fill_(torch.nan)
    with pytest.raises(NonFiniteLogitsError, match="logits that are not finite"):
        focused.ask(make_frames(2), QUESTION)


def test_load_and_ask_from_a_folder(focused, clip, tmp_path):
    focused.model.save_pretrained(tmp_path / "tiny")
    focused.processor.save_pretrained(tmp_path / "tiny")
    expected = focused.ask(clip, QUESTION, max_new_tokens=4)
    loaded = dynfocus.load(tmp_path / "tiny", device="cpu")
    assert isinstance(loaded, VideoModel)
    assert not loaded.is_nano
    assert loaded.ask(clip, QUESTION, max_new_tokens=4).text == expected.text
    answer = dynfocus.ask(clip, QUESTION, model=tmp_path / "tiny", max_new_tokens=4)
    assert answer.text == expected.text
    assert [f.kind for f in answer.frames] == [f.kind for f in expected.frames]


class LooksAgain:
    """A strategy of two passes: the second reads densely around the best frame."""

    def answer(self, model, asked):
        first = one_pass.answer(model, replace(asked, on_text=None))
        video = asked.video
        best = max(first.frames, key=lambda frame: frame.score).time
        times = np.clip(best + np.arange(-2, 2) / 4, 0, video.duration - 0.01)
        dense = model.index(VideoReader(video.source).sample(times=np.unique(times)))
        return one_pass.answer(model, replace(asked, video=dense))


def test_a_strategy_may_look_at_the_video_again(focused, clip):
    twice = VideoModel(focused.backbone, strategy=LooksAgain())
    once = focused.ask(clip, QUESTION, max_new_tokens=2)
    best = max(once.frames, key=lambda frame: frame.score).time
    pieces = []
    for answer in (
        twice.ask(clip, QUESTION, max_new_tokens=2, on_text=pieces.append),
        twice.chat(clip, max_frames=4).ask(QUESTION, max_new_tokens=2),
    ):
        assert all(abs(frame.time - best) <= 3 for frame in answer.frames)
        assert len(answer.frames) < len(once.frames)
        assert sum(frame.tokens for frame in answer.frames) == answer.tokens
    assert pieces


def test_a_generator_may_be_another(focused, clip):
    class Echo:
        marks = ("<echo>",)

        def generate(self, turn, options, on_text=None):
            return Written(
                f"{turn.question} {options.max_new_tokens} {len(turn.history)}"
            )

    model = focused.with_generator(Echo())
    assert model.ask(clip, "what ?", max_new_tokens=3).text == "what ? 3 0"
    chat = model.chat(clip)
    chat.ask("one ?")
    assert chat.ask("two ?").text == "two ? 64 1"
    with pytest.raises(ValueError, match="must not contain <echo>"):
        model.ask(clip, "<echo> ?")
    chat.turns[0] = Turn("one ?", "<echo>")
    with pytest.raises(ValueError, match="the conversation must not contain <echo>"):
        chat.ask("three ?")


def test_unknown_and_wrong_options_are_one_sentence(focused, clip):
    accepted = (
        "fps, start, end, stream, max_frames, max_encoded_frames, max_video_tokens, "
        "method, max_new_tokens"
    )
    with pytest.raises(ValueError, match=f"no 'max_frame'; accepted are {accepted}"):
        focused.ask(clip, QUESTION, max_frame=3)
    with pytest.raises(ValueError, match="fps must be above 0, got 0"):
        focused.index(clip, fps=0)
    with pytest.raises(ValueError, match="there is no 'tokens'"):
        focused.chat(clip).ask(QUESTION, tokens=3)
    with pytest.raises(
        ValueError, match="there is no 'precision'; accepted are device"
    ):
        dynfocus.load("nano", precision="float32")


def test_a_session_is_refused_in_one_sentence_where_there_is_none(focused, monkeypatch):
    monkeypatch.setattr(type(focused.backbone), "abilities", frozenset())
    with pytest.raises(ValueError, match="has no sessions about videos that are still"):
        focused.session()
    with pytest.raises(ValueError, match="has no spatial prototypes to show"):
        focused.map_prototypes(None, None)


def test_confidence_is_the_mean_probability_of_the_tokens(focused, clip):
    answer = focused.ask(clip, QUESTION, max_new_tokens=5)
    options = AskOptions(max_new_tokens=5)
    turn = focused.prepare(focused.index(clip), QUESTION, options)
    written = focused.backbone.generate(
        turn,
        max_new_tokens=5,
        do_sample=False,
        suppress_tokens=[turn.placeholder],
        output_scores=True,
        return_dict_in_generate=True,
    )
    product = 1.0
    for token, scores in zip(written.sequences[0], written.scores, strict=True):
        product *= float(scores[0].softmax(dim=-1)[token])
    expected = product ** (1 / len(written.scores))
    assert answer.confidence == pytest.approx(expected, rel=1e-4)
    assert json.loads(json.dumps(answer.to_dict()))["confidence"] == answer.confidence


def test_a_generator_without_probabilities_gives_no_confidence(focused, clip):
    class Silent:
        marks = ()

        def generate(self, turn, options, on_text=None):
            return Written("words")

    assert focused.with_generator(Silent()).ask(clip, QUESTION).confidence is None


def test_nano_says_when_it_saw_the_answer(tmp_path):
    made = make_video(tmp_path / "w.mp4", 60, seed=3)
    nano = dynfocus.load("nano", index_folder=False)
    needles = [one for one in made.questions if one.kind == "needle"]
    answers = nano.ask(made.path, [one.question for one in needles])
    for asked, answer in zip(needles, answers, strict=True):
        assert answer.question == asked.question
        assert answer.text == asked.answer
        assert 0 < answer.confidence <= 1
        assert any(a - 1 <= answer.best_time <= b + 1 for a, b in asked.evidence)


def test_several_questions_are_answered_as_one_by_one(focused, clip, monkeypatch):
    questions = [QUESTION, "what ?", QUESTION]
    single = [focused.ask(clip, one, max_new_tokens=3).text for one in questions]
    count, encode = [], FeatureBackbone.encode

    def spy(self, *arguments):
        count.append(1)
        return encode(self, *arguments)

    monkeypatch.setattr(FeatureBackbone, "encode", spy)
    answers = focused.ask(clip, questions, max_new_tokens=3)
    assert [answer.text for answer in answers] == single
    assert len(count) == 1
    with pytest.raises(ValueError, match="there is no question"):
        focused.ask(clip, [])
    for empty in (" ", "\x00", "\u200b\n"):
        with pytest.raises(ValueError, match="the question is empty"):
            focused.ask(clip, ["what ?", empty])
    for wrong in (None, 5, b"what ?"):
        with pytest.raises(ValueError, match="question must be a text or a list of"):
            focused.ask(clip, wrong)
    with pytest.raises(ValueError, match="the question must be a text .* got None"):
        focused.ask(clip, [None])


def test_several_videos_are_one_question(focused, clip, make_frames):
    other = make_frames(3, seed=5)
    calls = []
    answer = focused.ask(
        [clip, other],
        QUESTION,
        max_new_tokens=3,
        progress=lambda done, total: calls.append(done / total),
    )
    alone = [focused.score_frames(one, QUESTION) for one in (clip, other)]
    told = [replace(frame, video=1) for frame in alone[1]]
    assert answer.frames == [*alone[0], *told]
    assert [frame.time for frame in told] == [0.0, 1.0, 2.0]
    assert answer.tokens == sum(frame.tokens for frame in answer.frames)
    assert answer.best_time is None
    assert calls == sorted(calls)
    assert calls[-1] == 1
    both = [focused.index(clip), focused.index(other)]
    assert focused.ask(both, QUESTION, max_new_tokens=3).text == answer.text
    chat = focused.chat(both)
    assert chat.ask(QUESTION, max_new_tokens=3).frames == answer.frames
    assert chat.ask("what ?", max_new_tokens=3).frames != []
    assert focused.ask([clip], QUESTION).frames == alone[0]
    with pytest.raises(ValueError, match="leave the frames of this one in it"):
        focused.map_prototypes(clip, answer)
    with pytest.raises(ValueError, match="an index is of one video, got 2; index each"):
        focused.index([clip, other])
    with pytest.raises(ValueError, match="there is no video; give at least one"):
        focused.ask([], QUESTION)
    with pytest.raises(ValueError, match="the frames of a video must be uint8"):
        focused.ask([clip, 3], QUESTION)


def test_several_videos_stand_in_the_prompt_behind_their_numbers(focused, clip):
    video = VideoGroup((focused.index(clip), focused.index(clip)))
    turn = focused.prepare(video, QUESTION, AskOptions())
    decode = focused.processor.tokenizer.decode
    counts = [0, 0]
    for frame in turn.frames:
        counts[frame.video] += frame.tokens
    encode = focused.processor.tokenizer.encode
    marks = [
        [
            *encode(f"Video {number} :", add_special_tokens=False),
            *[turn.placeholder] * n,
        ]
        for number, n in enumerate(counts, 1)
    ]
    ids = turn.input_ids[0].tolist()
    places = turn.is_visual[0].nonzero()[:, 0].tolist()
    start = places[0] - len(marks[0]) + counts[0]
    assert ids[start : places[-1] + 1] == [*marks[0], *marks[1]], decode(ids)
    assert turn.num_lead_in == places[0] - start
    assert len(turn.block) == len(marks[0]) + len(marks[1])


@pytest.mark.parametrize("budget", [26, 33, 60])
def test_several_videos_share_the_budget(focused, clip, make_frames, budget):
    videos = [focused.index(clip), focused.index(make_frames(1))]
    whole = [focused.score_frames(one, QUESTION) for one in videos]
    least = sum(frame.tokens for frame in whole[1])
    answer = focused.ask(videos, QUESTION, max_new_tokens=2, max_video_tokens=budget)
    assert answer.tokens <= budget
    found = [sum(f.tokens for f in answer.frames if f.video == n) for n in (0, 1)]
    assert found[1] == least
    alone = focused.score_frames(clip, QUESTION, max_video_tokens=budget - least)
    assert [frame for frame in answer.frames if frame.video == 0] == alone
    with pytest.raises(ValueError, match="the least of 2 videos, got 20; raise"):
        focused.ask(["not read", "nor this"], QUESTION, max_video_tokens=20)


def test_nano_says_that_it_was_trained_on_one_video(tmp_path):
    made = [make_video(tmp_path / f"{seed}.mp4", 6, seed=seed) for seed in (1, 2)]
    asked = next(one for one in made[1].questions if one.kind == "needle")
    nano = dynfocus.load("nano", index_folder=False)
    with pytest.warns(
        SeveralVideosWarning, match="was trained on one video a question"
    ):
        answer = nano.ask([one.path for one in made], asked.question)
    assert {frame.video for frame in answer.frames} == {0, 1}
    assert answer.best_video == 1  # its rating of a frame does not look at others
    assert any(a - 1 <= answer.best_time <= b + 1 for a, b in asked.evidence)


def report(time, score, video=0, rating=None):
    return FrameReport(
        index=0,
        time=time,
        score=score,
        kind="rod",
        tokens=2,
        video=video,
        rating=rating,
    )


def test_equal_scores_point_at_no_frame():
    def found(*frames):
        return find_best_frame([report(*frame) for frame in frames])

    assert found() == (None, None)
    assert found((4.0, 0.5)) == (4.0, 0)
    assert found((0.0, 0.5), (1.0, 0.5)) == (None, None)
    assert found((0.0, 0.1), (1.0, 0.5), (2.0, 0.5)) == (1.0, 0)


def test_the_best_of_several_videos_is_found_by_ratings_that_compare():
    first = [report(0.0, 1.0, 0, 0.2), report(1.0, 0.0, 0, 0.1)]
    second = [report(2.0, 0.0, 1, 0.1), report(3.0, 1.0, 1, 0.3)]
    assert find_best_frame([*first, *second]) == (3.0, 1)
    assert find_best_frame(first) == (0.0, 0)
    equal = [replace(frame, rating=0.2) for frame in second]
    assert find_best_frame([*first, *equal]) == (None, None)
    unrated = [replace(frame, rating=None) for frame in second]
    assert find_best_frame([*first, *unrated]) == (None, None)
