"""The server as a Ray Serve deployment."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import partial

import httpx
import pytest

import busy_model
from dynfocus.serving import ServerSettings, replicas, service
from dynfocus.serving.replicas import app
from dynfocus.world import make_video

# Ray Serve 2.60 describes its settings in a way that pydantic wants to give up.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.slow
def test_a_replica_that_is_killed_takes_along_what_it_was_at_alone(tmp_path):
    pytest.importorskip("grpc", reason="ray[serve] is not installed")
    import ray_replicas

    clips = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for seed, clip in enumerate(clips):
        make_video(clip, 12, seed)
    done = subprocess.run(
        [sys.executable, ray_replicas.__file__, str(tmp_path), *map(str, clips)],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["first_questions"] == [200] * 8
    assert told["entries"] == 2  # each video once, by whichever replica
    assert set(told["at_the_kill"]) <= {200, 500, 503}
    assert 200 in told["at_the_kill"]  # what was in flight at the other one
    assert told["after_it"] == [200] * 8
    assert (told["listed"], told["num_before"], told["num_again"]) == (2, 2, 2)


def test_without_ray_serve_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install .*'ray\[serve\]'"):
        app({})


def test_wrong_options_are_refused_before_anything_starts(monkeypatch):
    pytest.importorskip("grpc", reason="ray[serve] is not installed")
    monkeypatch.delenv("DYNFOCUS_API_KEY", raising=False)
    with pytest.raises(ValueError, match="folders"):
        app({"folders": "x"})
    with pytest.raises(ValueError, match="a key is needed"):
        app({"host": "0.0.0.0"})


def test_what_is_sent_to_a_replica_builds_the_server_there(tmp_path, running):
    pytest.importorskip("grpc", reason="ray[serve] is not installed")
    from ray import cloudpickle

    settings = ServerSettings(folder=tmp_path, model="busy", index_workers=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "load_answerer", busy_model.load)
        build = cloudpickle.loads(cloudpickle.dumps(partial(replicas._build, settings)))
        with running(build()) as server:
            while httpx.get(f"{server.url}/readyz").status_code != 200:
                time.sleep(0.05)
    assert app({"folder": str(tmp_path), "num_replicas": "3"}) is not None
