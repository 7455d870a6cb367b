"""A quick start: transformers without torch's compiler and shards until they are used.

Half of the time that ``import transformers`` and a model class take goes into
``torch._dynamo``, which only a handful of decorators ask for, and into sharded tensors.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"
_INDEXING = f"{_COMPILER}._trace_wrapped_higher_order_op"
_MARKERS = frozenset({"allow_in_graph", "assume_constant_result"})
"""Decorators that note a function for the compiler and give it back."""


def import_lightly() -> None:
    """Put off the compiler; hide sharding and accelerate from transformers.

    Call it before a class of transformers is imported, in a program that neither shards
    nor quantises. Whoever compiles afterwards gets the real compiler, and what was marked
    meanwhile is marked there.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads do not spin
    import torch
    from transformers.utils import import_utils

    if _COMPILER in sys.modules or "transformers.modeling_utils" in sys.modules:
        return
    compiler = _DeferredCompiler(_COMPILER)
    indexing = ModuleType(_INDEXING)
    indexing.TransformGetItemToIndex = compiler.index  # type: ignore[attr-defined]
    sys.modules.update({_COMPILER: compiler, _INDEXING: indexing})
    with _answering(torch.distributed, "is_available", lambda: False):
        import_utils.is_torch_distributed_available()  # it remembers its first answer
    with _answering(
        import_utils, "_is_package_available", lambda *_, **__: (False, "")
    ):
        import_utils.is_accelerate_available.cache_clear()  # asked by its first import
        import_utils.is_accelerate_available()
    scan = import_utils.create_import_structure_from_path
    import_utils.create_import_structure_from_path = lambda path: scan(_folder(path))


@contextmanager
def _answering(owner: Any, name: str, answer: Callable[..., Any]) -> Iterator[None]:
    """Let a function of a module give another answer for a while."""
    own = getattr(owner, name)
    setattr(owner, name, answer)
    try:
        yield
    finally:
        setattr(owner, name, own)


def _folder(path: str | Path) -> Path:
    """Name a package by its folder, as its first scan did, and not by its file."""
    return Path(path).parent if Path(path).is_file() else Path(path)


class _DeferredCompiler(ModuleType):
    """Stand for ``torch._dynamo`` until something other than a marker is asked of it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._marked: list[tuple[str, Callable[..., Any]]] = []
        self._lock = threading.RLock()
        self._real: ModuleType | None = None

    @property
    def __path__(self) -> Any:  # type: ignore[override]  # for importing submodules
        return self._load().__path__

    def __getattr__(self, name: str) -> Any:
        if name in ("__file__", "__wrapped__") or name.startswith("__"):
            raise AttributeError(name)
        if self._real is None and name in _MARKERS:
            return lambda function: self._mark(name, function)
        if self._real is None and name == "disable":
            return self._disable
        return getattr(self._load(), name)

    def index(self) -> Any:
        """Make what ``TransformGetItemToIndex`` makes."""
        return self._load()._trace_wrapped_higher_order_op.TransformGetItemToIndex()

    def _mark(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        self._marked.append((name, function))
        return function

    def _disable(self, function: Any = None, *args: Any, **options: Any) -> Any:
        if function is None:
            return lambda wrapped: self._disable(wrapped, *args, **options)

        def run(*inputs: Any, **keywords: Any) -> Any:
            own = self._load().disable(function, *args, **options)
            return own(*inputs, **keywords)

        return run

    def _load(self) -> ModuleType:
        with self._lock:
            if self._real is None:
                for name in (_COMPILER, _INDEXING):
                    sys.modules.pop(name, None)
                self._real = importlib.import_module(_COMPILER)
                importlib.import_module(_INDEXING)
                for name, function in self._marked:
                    getattr(self._real, name)(function)
            return self._real
