"""``dynfocus eval plugged``: what it was told is what is asked."""


def test_kinds_shares_and_videos_reach_the_plan(run, monkeypatch, tmp_path):
    plans = []

    def write(records, plan, out, *, command, commit):
        plans.append(plan)
        page = out / "plugged-accuracy.md"
        page.write_text("a page\n", encoding="utf-8")
        return page

    monkeypatch.setattr(
        "dynfocus.evaluation.experiments.plugged.measure_plugged",
        lambda *_: [{"right": True}],
    )
    monkeypatch.setattr(
        "dynfocus.evaluation.experiments.plugged_page.write_plugged", write
    )
    outcome = run(
        *("eval", "plugged", "HOST", "--kind", "order", "--kind", "needle"),
        *("--kind", "order", "--max-per-kind", "5", "--share", "0.2", "--share", "0.1"),
        *("--medium-videos", "0", "--long-videos", "0", "--short-videos", "3"),
        *("--out", tmp_path, "--runs", tmp_path),
    )
    assert outcome.code == 0, outcome.err
    assert outcome.out == "a page\n\n"
    (plan,) = plans
    assert plan.kinds == ("order", "needle")
    assert plan.shares == (0.1, 0.2)
    assert plan.max_per_kind == 5
    assert [(s.name, s.num_videos) for s in plan.sets if s.num_videos] == [("short", 3)]


def test_a_kind_that_is_none_is_refused_in_one_sentence(run, tmp_path):
    outcome = run("eval", "plugged", "HOST", "--kind", "smell", "--out", tmp_path)
    assert outcome.code == 1
    assert "kind must be one of needle, attribute" in outcome.err
    assert "got 'smell'" in outcome.err
    assert len(outcome.err_lines) == 1
