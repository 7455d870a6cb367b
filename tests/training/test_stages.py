"""The paper's stages: what learns, what a sample becomes, runs that were killed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModel

import dynfocus
from dynfocus.focus import FocusBudget
from dynfocus.models.conversation import build_conversation
from dynfocus.models.dynfocus import DynFocusForConditionalGeneration
from dynfocus.training import load_recipe, run_recipe
from dynfocus.training.dataset import ConversationDataset, Layout, collate
from dynfocus.training.encoded_videos import EncodedVideos
from dynfocus.training.labels import encode_caption, encode_conversation
from dynfocus.training.loop import train
from dynfocus.training.parts import group_of, set_trainable
from dynfocus.training.stages import TRAINS, make_stage_job
from dynfocus.world import make_questions, make_video

SOURCES = [
    {"world_videos": {"num_videos": 2, "seconds": [6, 12], "seed": 3}},
    {"world_pictures": {"num_pictures": 2}},
    {"world_logs": {"num_logs": 2}},
]
LAYOUTS = {1: Layout(template="plain_guided"), 2: Layout()}
PROJECTORS = {
    "focus_network.cooperative_encoding.multi_modal_projector",
    "focus_network.cooperative_encoding.query_projector",
    "focus_network.cooperative_encoding.key_projector",
    "focus_network.cooperative_encoding.context_projector",
    "focus_network.question_head.clock",
}


@pytest.fixture
def stage_recipe(write_recipe, parts, tiny_settings, tmp_path):
    """Write a recipe that trains the tiny model from its parts."""

    def write(name="recipe.yaml", **changes):
        tree = {
            "task": "stage2",
            "start": dict(parts),
            "model": tiny_settings,
            "data": {"sources": SOURCES, "cache": str(tmp_path / "cache")},
        }
        return write_recipe(name, **{**tree, **changes})

    return write


@pytest.fixture
def mixed(make_tiny, load, tmp_path):
    """Give a model, and a batch of two videos, a picture and a text."""
    model, processor = make_tiny()
    with torch.no_grad():  # larger weights than usual make outputs differ
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and not name.startswith("vision_tower"):
                parameter.mul_(5)
    samples = load(SOURCES)
    videos = {sample["video"]: sample for sample in samples if "video" in sample}
    chosen = [*videos.values(), samples[-3], samples[-1]]
    cache = EncodedVideos(tmp_path / "cache", model, processor)
    cache.fill(chosen)
    data = ConversationDataset(chosen, cache, processor, counter(model), Layout())
    encoded = [data[i] for i in (3, 0, 2, 1)]  # the text first
    assert encoded[2]["shown"][0].num_frames == 1
    assert len({len(e["questions"][0]) for e in encoded[1:]}) > 1
    return model, encoded


def counter(model):
    return FocusBudget(settings=model.settings).num_tokens


def test_a_recipe_says_which_groups_learn(stage_recipe):
    path = stage_recipe(trains=["projectors", "language_model"])
    model = make_stage_job(load_recipe(path)).model
    learns = {group_of(n) for n, p in model.named_parameters() if p.requires_grad}
    assert learns == {"projectors", "language_model"}
    path = stage_recipe(trains=["multi_modal_projector"])
    with pytest.raises(
        ValueError, match="trains must name some of tower_method, .*multi_modal_proj"
    ):
        make_stage_job(load_recipe(path))
    path = stage_recipe(trains="text_encoder")
    with pytest.raises(ValueError, match="trains must be a list"):
        load_recipe(path)


@pytest.mark.parametrize("stage", [1, 2])
def test_only_what_learns_has_changed_after_a_run(stage_recipe, stage):
    sources = SOURCES if stage == 2 else [SOURCES[0], SOURCES[1]]
    path = stage_recipe(
        task=f"stage{stage}",
        data={"sources": sources},
        schedule={"weight_decay": 0.1, "batch_size": 6},
    )
    before, after, learns = {}, {}, []

    def make_job(recipe):
        job = make_stage_job(recipe)
        before.update({n: p.clone() for n, p in job.model.named_parameters()})
        learns.extend(n for n, p in job.model.named_parameters() if p.requires_grad)

        def finish(model, output):
            after.update(dict(model.named_parameters()))

        return replace(job, finish=finish)

    train(load_recipe(path), make_job, resume=False)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed <= set(learns)
    if stage == 1:
        assert changed == set(learns)
        return
    for module in (
        "text_encoder.embeddings",
        "focus_network.event_prototypes",
        "language_model.model.layers",
        *PROJECTORS,
    ):
        assert any(name.startswith(module) for name in changed), module


def test_samples_become_what_their_stage_needs(make_tiny, load, tmp_path):
    model, processor = make_tiny()
    tokenizer = processor.tokenizer
    samples = [s for s in load(SOURCES) if len(s["conversations"]) > 2]
    cache = EncodedVideos(tmp_path, model, processor)
    cache.fill(samples)
    for stage in (1, 2):
        data = ConversationDataset(
            samples, cache, processor, counter(model), LAYOUTS[stage]
        )
        assert len(data) == len(samples)
        for number, sample in enumerate(samples):
            encoded = data[number]
            texts = [
                t["value"].removeprefix("<image>\n") for t in sample["conversations"]
            ]
            turns = list(zip(texts[::2], texts[1::2], strict=True))
            if "video" not in sample and "image" not in sample:
                expected = encode_conversation(tokenizer, turns)
                assert set(encoded) == {"input_ids", "labels"}
            else:
                num_frames = encoded["shown"][0].num_frames
                room = "<video>" * FocusBudget(settings=model.settings).num_tokens(
                    num_frames
                )
                if stage == 1:
                    expected = encode_caption(tokenizer, room, turns[0][1])
                else:
                    first = (f"{room}\n{turns[0][0]}", turns[0][1])
                    expected = encode_conversation(tokenizer, [first, *turns[1:]])
                question = tokenizer(turns[0][0])["input_ids"]
                assert [q.tolist() for q in encoded["questions"]] == [question]
            for name in ("input_ids", "labels"):
                assert torch.equal(encoded[name], expected[name])


def test_the_clock_starts_as_loud_as_the_words(make_tiny):
    model, _ = make_tiny()
    clock = model.focus_network.question_head.clock.tables.weight.detach()
    words = model.get_input_embeddings().weight.detach().std()
    assert clock.square().mean().sqrt() == pytest.approx(float(words), rel=0.02)


def test_marks_of_relevance_start_as_loud_as_the_words(make_tiny):
    model, _ = make_tiny(question={"use_ratings": True})
    marks = model.focus_network.question_head.rating.marks.weight.detach()
    words = model.get_input_embeddings().weight.detach().std()
    assert marks.std().item() == pytest.approx(float(words), rel=0.3)


def test_loading_keeps_the_clock(make_tiny, tmp_path):
    model, _ = make_tiny()
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    name = "focus_network.question_head.clock.tables.weight"
    assert torch.equal(again.state_dict()[name], model.state_dict()[name])


@pytest.mark.parametrize("question_first", [False, True])
def test_training_reads_the_prompt_that_asking_writes(
    make_tiny, load, tmp_path, question_first
):
    model, processor = make_tiny()
    processor.question_first = question_first
    samples = load(SOURCES[:1])
    cache = EncodedVideos(tmp_path, model, processor)
    cache.fill(samples)
    data = ConversationDataset(samples, cache, processor, counter(model), Layout())
    for number, sample in enumerate(samples):
        question = sample["conversations"][0]["value"].removeprefix("<image>\n")
        prompt = processor.apply_chat_template(
            build_conversation((), question), add_generation_prompt=True
        )
        asked = processor(text=prompt, videos=[cache.load(sample["video"])])
        encoded = data[number]
        front = int((encoded["labels"] != -100).nonzero()[0, 0])
        assert encoded["input_ids"][:front].tolist() == asked["input_ids"][0].tolist()
        words = processor.tokenizer.decode(encoded["input_ids"][:front])
        assert words.count(question) == 1 + question_first
        assert words.index(question) < words.index("<video>") or not question_first


def test_attention_is_a_matter_of_speed_alone(stage_recipe):
    losses = []
    for attention in ("sdpa", "eager"):
        path = stage_recipe(
            schedule={"attention": attention}, output=f"{attention}-run"
        )
        torch.manual_seed(0)
        job = make_stage_job(load_recipe(path))
        assert job.model.language_model.config._attn_implementation == attention
        batch = job.collator([job.dataset[i] for i in range(3)])
        losses.append(job.model.eval()(**batch).loss)
    torch.testing.assert_close(losses[0], losses[1])


def test_a_batch_of_videos_pictures_and_text_trains(mixed):
    model, encoded = mixed
    set_trainable(model, TRAINS["stage2"])
    model.train()
    batch = collate(encoded, 0)
    assert len(batch["video_features"]) == 3
    assert len(batch["qformer_input_ids"]) == 3
    torch.manual_seed(0)
    loss = model(**batch).loss
    assert torch.isfinite(loss)
    loss.backward()
    grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert all(grad.isfinite().all() for grad in grads.values())
    assert not any(name.startswith("vision_tower") for name in grads)
    for module in (
        "focus_network.event_prototypes",
        "text_encoder",
        "language_model",
        *PROJECTORS,
    ):
        found = [g for n, g in grads.items() if n.startswith(module)]
        assert any(grad.abs().sum() > 0 for grad in found), module


@torch.no_grad()
def test_a_mixed_batch_equals_its_samples_alone(mixed):
    model, encoded = mixed
    logits = model(**collate(encoded, 0)).logits
    for row, sample in enumerate(encoded):
        alone = model(**collate([sample], 0)).logits[0]
        torch.testing.assert_close(
            logits[row, : len(alone)], alone, rtol=1e-4, atol=1e-4
        )


def test_a_batch_of_text_alone_has_no_video_inputs(mixed):
    model, encoded = mixed
    batch = collate([encoded[0], encoded[0]], 0)
    assert set(batch) == {"input_ids", "labels"}
    assert torch.isfinite(model(**batch).loss)


@torch.no_grad()
def test_prototypes_brought_along_change_nothing(make_tiny):
    model, _ = make_tiny()
    torch.manual_seed(1)
    videos = []
    for num_frames in (3, 9, 6):
        pixels = torch.randn(num_frames, 3, 112, 112)
        times = torch.arange(num_frames, dtype=torch.float64)
        videos.append(model.encode_video(pixels, times))
    assert all(video.prototypes is not None for video in videos)
    bare = [replace(video, prototypes=None) for video in videos]
    ids = torch.randint(4, 100, (4, 7))
    for owners in ([0, 1, 2], [2, 0, 1, 1]):
        count = len(owners)
        room = [
            FocusBudget(settings=model.settings).num_tokens(videos[o].num_frames)
            for o in owners
        ]
        rows = torch.full((count, max(room) + 1), 5)
        for row, length in enumerate(room):
            rows[row, :length] = model.config.video_token_id
        common = {
            "input_ids": rows,
            "block_videos": torch.tensor(owners),
            "qformer_input_ids": ids[:count],
            "qformer_attention_mask": torch.ones_like(ids[:count]),
        }
        known = model(video_features=videos, **common)
        estimated = model(video_features=bare, **common)
        torch.testing.assert_close(known.logits, estimated.logits)
        half = model(video_features=[videos[0], *bare[1:]], **common)
        torch.testing.assert_close(half.logits, estimated.logits)
        for one, other in zip(known.video_tokens, estimated.video_tokens, strict=True):
            assert torch.equal(one.is_cone, other.is_cone)
            torch.testing.assert_close(one.scores, other.scores)


def history(output):
    state = json.loads((output / "trainer_state.json").read_text())
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


def weights(output):
    model = DynFocusForConditionalGeneration.from_pretrained(output / "model")
    return model.state_dict()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_killed_run_continues_as_if_nothing_had_happened(
    stage_recipe, tmp_path, monkeypatch, optimizer
):
    schedule = {"num_steps": 4, "save_every": 2, "optimizer": optimizer}
    path = stage_recipe(schedule=schedule)
    whole = run_recipe(path, [f"output={tmp_path / 'whole'}"])
    overrides = [f"output={tmp_path / 'killed'}"]

    real = ConversationDataset.__getitem__
    asked = []

    def die(self, number):
        asked.append(number)
        if len(asked) == 7:  # the fourth batch is read during the third step
            raise KeyboardInterrupt
        return real(self, number)

    monkeypatch.setattr(ConversationDataset, "__getitem__", die)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(path, overrides)
    monkeypatch.undo()
    killed = tmp_path / "killed"
    assert (killed / "checkpoint-2").is_dir()
    assert not (killed / "model").exists()
    assert run_recipe(path, overrides) == killed
    assert len(history(whole)) == 4
    assert history(killed) == history(whole)
    assert len(set(history(whole))) == 4
    expected = weights(whole)
    for name, tensor in weights(killed).items():
        assert torch.equal(tensor, expected[name]), name


def test_a_run_can_start_over(stage_recipe, tmp_path):
    path = stage_recipe(schedule={"num_steps": 1, "save_every": 1})
    first = history(run_recipe(path))
    output = run_recipe(path, ["schedule.learning_rate=0.02"], resume=False)
    assert history(output) == first  # the first loss comes before any learning


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"start": {"vision_tower": "no/tower", "language_model": "no/reader"}},
            "start.vision_tower: folder no/tower does not exist; make it first, "
            "with the recipe before this one or with 'dynfocus assemble'",
        ),
        (
            {"start": {}},
            "start must name either model, or vision_tower and language_model, got noth",
        ),
        ({"model": {"fokus": {}}}, "there is no 'model.fokus'; accepted are focus, qf"),
        (
            {"model": {"qformer": {"width": 3}}},
            "model.qformer: unknown setting 'width'",
        ),
        ({"model": {"focus": {"nummer": 3}}}, "nummer"),
        (
            {"data": {"source": []}},
            "there is no 'data.source'; accepted are sources, cache, shares_patches",
        ),
        ({"data": {}}, "no sample found; name at least one source"),
        ({"data": {"sources": 3}}, "data.sources must be a list, got 3"),
        ({"data": {"fps": "fast"}}, "data.fps must be a number, got 'fast'"),
        ({"data": {"max_frames": 0}}, "data.max_frames must be at least 1, got 0"),
        (
            {"start": {"model": "src"}, "model": None},
            "src has no config.json; give a fol",
        ),
        (
            {"model": {"focus": {"spatial_gate": True}}},
            "data.cache needs a frozen encoder",
        ),
    ],
)
def test_what_cannot_start_is_refused_and_leaves_nothing(
    stage_recipe, tmp_path, changes, message
):
    path = stage_recipe(**changes)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run_recipe(path)
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.yaml"]


def test_a_whole_model_keeps_its_own_settings(stage_recipe, tmp_path):
    path = stage_recipe(start={"model": str(tmp_path)})
    with pytest.raises(ValueError, match="model: start.model brings its own settings"):
        run_recipe(path)


def test_a_run_can_start_from_the_model_that_is_shipped(stage_recipe):
    path = stage_recipe(start={"model": "nano"}, model=None)
    job = make_stage_job(load_recipe(path))
    assert job.model.config.text_config.hidden_size == 192


def test_the_recipes_of_nano_run_two_steps(course):
    assert [name for name in course if name.startswith("nano/")] == [
        "nano/1-vision",
        "nano/2-language",
        "nano/3-align",
        "nano/4-tune",
        "nano/5-long",
    ]
    for name, output in course.items():
        losses = history(output)
        assert len(losses) == 2, name
        assert all(0 < loss < 100 for loss in losses), losses
        assert load_recipe(output / "recipe.yaml").schedule.num_steps == 2
        first = (output / "recipe.yaml").read_text().splitlines()[0]
        assert first.startswith("# commit: ")
    figures = json.loads((course["nano/1-vision"] / "accuracy.json").read_text())
    assert all(0 <= figure <= 1 for figure in figures.values())
    assert (course["hosts/scorer"] / "scorer" / "model.safetensors").is_file()


def test_what_the_recipes_make_answers_questions(course, tmp_path):
    video = make_video(tmp_path / "a.mp4", 6.0, 1, size=112, fps=2)
    question = make_questions(video.scene)[0].question
    tower = AutoModel.from_pretrained(
        course["nano/1-vision"] / "vision_tower"
    ).state_dict()
    for name in ("nano/3-align", "nano/4-tune", "nano/5-long"):
        focused = dynfocus.load(str(course[name] / "model"))
        answer = focused.ask(video.path, question, max_new_tokens=4)
        assert isinstance(answer.text, str)
        expected = FocusBudget(settings=focused.model.settings).num_tokens(
            len(answer.frames)
        )
        assert answer.tokens == expected
        kept = focused.model.vision_tower.state_dict()
        assert all(torch.equal(kept[key], tower[key]) for key in tower)
    slow = dynfocus.load(str(course["nano-slow/3-adapt"] / "model"))
    once = slow.ask(video.path, question, max_new_tokens=4)
    assert {frame.kind for frame in once.frames} == {"low"}
    frames = slow.processor.read_frequencies(video.path, [2.0, 2.5, 3.0])
    answer = slow.ask(frames, question, max_new_tokens=4)
    assert sum(frame.kind == "high" for frame in answer.frames) == 3


def test_checkpointing_is_a_matter_of_memory_alone(stage_recipe, tmp_path):
    losses = []
    for enabled in (False, True):
        output = run_recipe(
            stage_recipe(),
            [
                f"schedule.gradient_checkpointing={enabled}",
                f"output={tmp_path / str(enabled)}",
            ],
        )
        losses.append(history(output))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_frozen_weights_are_kept_in_their_precision(stage_recipe):
    path = stage_recipe(
        task="stage1",
        schedule={"precision": "bfloat16", "frozen_precision": "bfloat16"},
        data={"sources": SOURCES[:2]},
    )
    job = make_stage_job(load_recipe(path))
    for name, parameter in job.model.named_parameters():
        learns = name.startswith(tuple(PROJECTORS))
        assert parameter.requires_grad == learns
        assert parameter.dtype == (torch.float32 if learns else torch.bfloat16), name
    assert job.dataset[0]["shown"][0].pixel_values.dtype == torch.bfloat16


def test_attention_that_is_not_installed_is_named(stage_recipe):
    path = stage_recipe(schedule={"attention": "flash_attention_2"})
    with pytest.raises(
        ImportError, match="flash_attention_2 needs a GPU and the packa"
    ):
        make_stage_job(load_recipe(path))


def test_a_checkpoint_holds_what_learns_alone(stage_recipe, tmp_path):
    path = stage_recipe(task="stage1", data={"sources": SOURCES[:2]})
    run_recipe(path)
    names = safe_open(
        tmp_path / "out" / "checkpoint-2" / "learned.safetensors", framework="pt"
    ).keys()
    assert {".".join(name.split(".")[:3]) for name in names} == PROJECTORS
    with pytest.raises(ValueError, match="is of a run in which other parameters learn"):
        run_recipe(path, ["task=stage2", "schedule.num_steps=3"])


@pytest.mark.parametrize("limit", [-1, 1.5, "many"])
def test_failures_are_counted_in_whole_numbers(stage_recipe, limit):
    path = stage_recipe(data={"sources": SOURCES, "max_failures": limit})
    with pytest.raises(ValueError, match="data.max_failures must be"):
        load_recipe(path)
