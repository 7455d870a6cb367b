"""A language model behind a URL: video tokens to vLLM, frames to any server."""

from dynfocus.backends.client import BackendError, ChatClient, Completion, Server
from dynfocus.backends.openai import LAYOUTS, FrameRequest, FrameSizes, frame_request
from dynfocus.backends.vllm import (
    OtherPromptWarning,
    VllmAnswerer,
    encode_embeds,
    find_served_model,
)

__all__ = [
    "BackendError",
    "ChatClient",
    "Completion",
    "FrameRequest",
    "FrameSizes",
    "LAYOUTS",
    "OtherPromptWarning",
    "Server",
    "VllmAnswerer",
    "encode_embeds",
    "find_served_model",
    "frame_request",
]
