"""Workers on many machines: the same work as one row a video of a Ray dataset."""

from __future__ import annotations

import logging
import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from dynfocus.bulk.asking import MakeAnswerer
from dynfocus.bulk.rows import VideoJob
from dynfocus.bulk.worker_processes import LOAD_ERRORS, MAX_ATTEMPTS
from dynfocus.json_lines import Record
from dynfocus.text import sentence

_logger = logging.getLogger(__name__)
LOCAL = "local"


class Attempts:
    """An actor that outlives the others and counts how often a video was begun."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def begin(self, video: str) -> int:
        """Count one more attempt and tell how many there were."""
        self._counts[video] += 1
        return self._counts[video]


class RayAsker:
    """An actor of Ray Data: loads the model once, then takes one video after the other.

    Args:
        answerer: Makes ready who answers.
        attempts: The actor that counts.
    """

    def __init__(self, answerer: MakeAnswerer, attempts: Any) -> None:
        self._attempts = attempts
        self._failure = ""
        try:
            self._answer_job = answerer(0)  # Ray shows each actor its own GPUs alone
        except LOAD_ERRORS as error:
            self._failure = sentence(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Answer the rows of each video of a batch; jobs and records go pickled."""
        told = [self._answer(pickle.loads(job)) for job in batch["job"]]
        return {"told": [pickle.dumps(one) for one in told]}

    def _answer(self, job: VideoJob) -> list[Record] | str:
        """Answer the rows of a video, unless it ended every worker that tried."""
        if self._failure:
            return self._failure
        import ray

        if ray.get(self._attempts.begin.remote(job.name)) > MAX_ATTEMPTS:
            return []
        return list(self._answer_job(job, None))


def answer_on_ray(
    jobs: Sequence[VideoJob],
    answerer: MakeAnswerer,
    num_workers: int,
    *,
    address: str = LOCAL,
) -> Iterator[Record]:
    """Answer on a Ray cluster; Ray runs again what a killed worker had at work.

    Each actor gets a GPU where the cluster has one for each.

    Args:
        jobs: The videos with their rows; every machine must reach the files.
        answerer: Makes ready who answers, in each actor once.
        num_workers: Actors.
        address: Of the cluster, ``"auto"`` for the one of this machine; ``"local"``
            starts one here for this run.

    Yields:
        One record a row, the rows of a video together, as soon as Ray has them; none
        for a video that ended `MAX_ATTEMPTS` workers.

    Raises:
        ImportError: Ray is not installed.
        ValueError: The model could not be loaded.
        ConnectionError: There is no cluster at the address.
    """
    ray = _import_ray()
    is_ours = not ray.is_initialized()
    if is_ours:
        _start(ray, address, num_workers)
    try:
        for told in _stream(ray, jobs, answerer, min(num_workers, len(jobs))):
            yield from read_records(told)
    finally:
        if is_ours:
            ray.shutdown()


def _stream(
    ray: Any, jobs: Sequence[VideoJob], answerer: MakeAnswerer, num_workers: int
) -> Iterator[bytes]:
    """Yield what the actors make of each video."""
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = -1  # a video that fails does not fail the others
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    has_gpus = ray.cluster_resources().get("GPU", 0) >= num_workers
    attempts = ray.remote(num_cpus=0)(Attempts).remote()
    items = [{"job": pickle.dumps(job)} for job in jobs]
    told = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        RayAsker,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=num_workers),
        fn_constructor_args=(answerer, attempts),
        num_gpus=1.0 if has_gpus else None,
    )
    for row in told.iter_rows():
        yield row["told"]


def read_records(told: bytes) -> list[Record]:
    """Read what an actor made of a video, or raise why it could not load the model."""
    records = pickle.loads(told)
    if isinstance(records, str):
        raise ValueError(records)
    return list(records)


def _import_ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError(
            "Ray is not installed; install it with: pip install 'dynfocus[ray]'"
        ) from error
    return ray


def _start(ray: Any, address: str, num_workers: int) -> None:
    """Join a cluster, or start one here that has a core for every actor and one more."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "warning"}
    if address == LOCAL:
        options |= {"num_cpus": num_workers + 1, "include_dashboard": False}
    ray.init(address=address, **options)
    _logger.info("Ray runs with %s", ray.cluster_resources())
