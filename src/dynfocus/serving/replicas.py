"""The server as a Ray Serve deployment: replicas that share a library and an index.

serve run dynfocus.serving.replicas:app folder=/shared/library num_replicas=2
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from dynfocus.serving.protection import read_keys
from dynfocus.serving.settings import ServerSettings
from dynfocus.validation import from_mapping


def app(options: Mapping[str, Any]) -> Any:
    """Build the Ray Serve application; each replica is a whole server.

    Args:
        options: ``num_replicas``, by default 2, and fields of `ServerSettings`, the
            folders among them on a disk that all replicas reach. Keys are read from the
            environment of whoever builds it.

    Returns:
        What ``serve.run`` takes.

    Raises:
        ImportError: Ray Serve is not installed.
        ValueError: An option is wrong, or ``host`` can be reached from other machines and
            there is no key.
    """
    try:
        from ray import serve
    except ImportError as error:
        raise ImportError(
            "replicas need Ray Serve; run pip install 'dynfocus[serve]' 'ray[serve]'"
        ) from error
    given = dict(options)
    num_replicas = int(given.pop("num_replicas", 2))
    settings = from_mapping(ServerSettings, given)
    protection = replace(settings.protection, api_keys=read_keys())
    protection.check_interface(settings.host)
    build = partial(_build, replace(settings, protection=protection))
    deployment = serve.deployment(
        serve.ingress(build)(),
        name="dynfocus",
        num_replicas=num_replicas,
        max_ongoing_requests=protection.max_requests,
        graceful_shutdown_timeout_s=settings.shutdown_seconds,
    )
    return deployment.bind()


def _build(settings: ServerSettings) -> Any:
    """Put the server of one replica together, where it runs."""
    from dynfocus.serving.application import create_application

    return create_application(settings)
