"""What answers behind a server: a model here, or one of another server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from dynfocus.bulk.asking import ModelLoader
from dynfocus.models.options import LoadOptions
from dynfocus.serving.settings import ServerSettings

if TYPE_CHECKING:
    from dynfocus.backends.frame_answers import FrameAnswerer
    from dynfocus.models import VideoModel

    Answerer: TypeAlias = VideoModel | FrameAnswerer


def model_loader(settings: ServerSettings, folder: Any = None) -> ModelLoader:
    """Give what loads the model of the settings here, in any process.

    Args:
        settings: The settings.
        folder: Where its index stands; by default where the settings say.
    """
    options = LoadOptions(
        index_folder=folder or settings.index_folder,
        scorer=settings.scorer if settings.backend is None else None,
    )
    return ModelLoader(name=settings.model, options=options)


def load_answerer(settings: ServerSettings) -> Answerer:
    """Load what answers.

    Raises:
        ValueError: The model cannot be loaded, or the server serves several.
        BackendError: The server is not there.
    """
    if settings.backend is None:
        return model_loader(settings)()
    from dynfocus.backends import ChatClient, Server, VllmGenerator

    client = ChatClient(
        Server(
            url=settings.url or "",
            api_key_variable=settings.api_key_env,
            timeout_seconds=settings.timeout,
        )
    )
    if settings.backend == "vllm":
        model = model_loader(settings)()
        writer = VllmGenerator(model, client, served_model=settings.served_model)
        return model.with_generator(writer)
    from dynfocus.backends.frame_answers import FrameAnswerer
    from dynfocus.backends.frame_budget import FrameBudget
    from dynfocus.backends.frame_scorers import load_frame_scorer

    scorer = None if settings.scorer is None else load_frame_scorer(settings.scorer)
    return FrameAnswerer(
        client,
        settings.served_model or settings.model,
        scorer=scorer,
        budget=FrameBudget(num_frames=settings.budget),
    )
