"""Stand-ins for packages that SGLang imports and no resolution uses: kernels, web servers, tokenizers."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any

PACKAGES = frozenset(
    """IPython aiter anthropic av blobfile compressed_tensors cuda cutlass decord deep_gemm distro easydict fastapi flash_attn flash_mla
    flashinfer gguf interegular llguidance mistral_common modelscope mori multipart ninja numba openai openai_harmony orjson outlines
    partial_json_parser prometheus_client py_spy pybase64 quack sentencepiece setproctitle sgl_kernel soundfile starlette tiktoken
    tilelang timm torch_memory_saver torchao torchaudio torchvision triton triton_kernels tvm_ffi uvicorn uvloop xgrammar zmq
    zstandard""".split()
)
"""What the wheel's own metadata requires, less what a resolution needs for real (torch, transformers, msgspec and what they need)."""


class _Any(type):
    """A class whose attributes are classes like it: whatever is asked of it, it is there and does nothing."""

    def __getattr__(cls, name: str) -> Any:
        found = _attribute(name)
        setattr(cls, name, found)  # the same one when it is asked for again
        return found

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """As a decorator it leaves alone what it decorates."""
        plain = len(args) == 1 and not kwargs and isinstance(args[0], FunctionType | type)
        return args[0] if plain else super().__call__()

    def __getitem__(cls, key: object) -> Any:
        return cls

    def __iter__(cls) -> Iterator[Any]:
        return iter(())

    def __or__(cls, other: object) -> Any:
        return object

    __ror__ = __or__


def _attribute(name: str) -> Any:
    if name.startswith("__") and name.endswith("__"):
        raise AttributeError(name)
    return _Any(name, (_Instance,), {})


class _Instance:
    """An object of such a class."""

    def __getattr__(self, name: str) -> Any:
        return _attribute(name)

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        found = _attribute(name)
        setattr(self, name, found)
        return found


class _Finder(MetaPathFinder, Loader):
    """The last one asked: it finds what nobody else has."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        top = name.partition(".")[0]
        inside = name == top or isinstance(sys.modules.get(top), _Module)
        return ModuleSpec(name, self, is_package=True) if top in PACKAGES and inside else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__version__ = "99.0"  # type: ignore[attr-defined] # of no release


def stand_in() -> None:
    """From here on a package of PACKAGES that is not installed is there, empty."""
    sys.meta_path.append(_Finder())
