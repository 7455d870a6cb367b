"""A language model behind a URL: video tokens to vLLM, frames to any server."""

from dynfocus.backends.client import ChatClient, Completion, Server
from dynfocus.backends.frame_budget import LAYOUTS, FrameSizes
from dynfocus.backends.looking import LookedAnswer, ask_again
from dynfocus.backends.openai import (
    FrameRequest,
    check_layout,
    file_request,
    frame_request,
)
from dynfocus.backends.vllm import VllmGenerator, encode_embeds, find_served_model
from dynfocus.errors import BackendError, OtherPromptWarning

__all__ = [
    "BackendError",
    "ChatClient",
    "Completion",
    "FrameRequest",
    "FrameSizes",
    "LAYOUTS",
    "LookedAnswer",
    "OtherPromptWarning",
    "Server",
    "VllmGenerator",
    "ask_again",
    "check_layout",
    "encode_embeds",
    "file_request",
    "find_served_model",
    "frame_request",
]
