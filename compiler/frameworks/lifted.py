"""Single functions of a framework, taken out of its source and run alone: its rules without its hundred dependencies."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import zipfile
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from compiler.errors import Problem
from compiler.frameworks.proof import NotInstalledError
from compiler.frozen import dataclass


class Silent:
    """Stands for whatever a function only talks to: loggers, environment tables."""

    def __getattr__(self, name: str) -> Any:
        return Silent()

    def __call__(self, *args: object, **kwargs: object) -> Any:
        return None


@dataclass(frozen=True)
class Source:
    """`root` is a wheel, or the folder that holds the package."""

    package: str
    root: Path

    @cached_property
    def _files(self) -> dict[str, Path | zipfile.ZipInfo]:
        if self.root.is_dir():
            return {}
        with zipfile.ZipFile(self.root) as wheel:
            return {item.filename: item for item in wheel.infolist()}

    def text(self, path: str) -> str:
        """The text of a file of the package. Raises NotInstalledError where there is none."""
        try:
            if self.root.is_dir():
                return (self.root / self.package / path).read_text(encoding="utf-8")
            with zipfile.ZipFile(self.root) as wheel:
                return wheel.read(f"{self.package}/{path}").decode("utf-8")
        except (OSError, KeyError) as error:
            raise NotInstalledError(
                [Problem(f"{self.root} has no {self.package}/{path}", f"name a wheel of {self.package}")]
            ) from error

    def holds(self, path: str) -> bool:
        """Whether the package has a file."""
        inside = f"{self.package}/{path}"
        return (self.root / inside).is_file() if self.root.is_dir() else inside in self._files

    def names(self, folder: str) -> list[str]:
        """The Python files right in a folder of the package, sorted."""
        if self.root.is_dir():
            return sorted(f"{folder}/{item.name}" for item in (self.root / self.package / folder).glob("*.py"))
        start = f"{self.package}/{folder}/"
        found = (name.removeprefix(start) for name in self._files if name.startswith(start))
        return sorted(f"{folder}/{name}" for name in found if name.endswith(".py") and "/" not in name)

    def extensions(self) -> list[str]:
        """Compiled modules of the package, by their dotted names."""
        inside = self.root / self.package
        files = (
            [str(item.relative_to(self.root)) for item in inside.rglob("*.so")] if self.root.is_dir() else self._files
        )
        return sorted(name.split(".")[0].replace("/", ".") for name in files if name.endswith(".so"))

    def version(self) -> str:
        """The version in the package's metadata, empty where there is none."""
        pattern = f"{self.package}-*.dist-info"
        if self.root.is_dir():
            folders = sorted(self.root.glob(pattern))
        else:
            names = sorted({name.split("/")[0] for name in self._files})
            folders = [Path(name) for name in names if Path(name).match(pattern)]
        return folders[0].name.removesuffix(".dist-info").split("-")[1] if folders else ""

    def tree(self, path: str) -> ast.Module:
        """A file of the package, parsed once."""
        return _parsed(self, path)

    def defines(self, path: str, name: str) -> bool:
        """Whether a file has a function."""
        return _find(self.tree(path), name.split(".")) is not None

    def lift(self, path: str, *names: str, **given: Any) -> SimpleNamespace:
        """Run the definitions of some functions (`Class.method` for a method) in a namespace of `given` and nothing else.

        Decorators and annotations are left out; names that a function calls global start as None; what it imports
        comes from the key `imports` of `given`: name of the module -> its contents.
        """
        tree, chosen = self.tree(path), []
        for name in names:
            node = _find(tree, name.split("."))
            if node is None:
                raise NotInstalledError(
                    [Problem(f"{self.root}: {path} has no {name}", "prove with the version that the rules are for")]
                )
            chosen.append(_bare(node))
        imports = given.pop("imports", {})
        space: dict[str, Any] = {item: None for node in chosen for item in _globals(node)}
        space |= {"__builtins__": {**vars(builtins), "__import__": _importer(imports)}, **given}
        exec(compile(ast.Module(body=[*chosen], type_ignores=[]), path, "exec"), space)  # noqa: S102 - the oracle itself
        return SimpleNamespace(space=space, **{node.name: space[node.name] for node in chosen})


def source(package: str, given: Path | None, version: str) -> Source:
    """A wheel or folder that was given, else what is installed. Raises NotInstalledError with what to fetch."""
    fetch = f"run `pip download --no-deps {package}=={version}` and write --wheel FILE"
    if given is not None:
        if not (given / package).is_dir() and not zipfile.is_zipfile(given):
            raise NotInstalledError([Problem(f"{given} is neither a wheel nor a folder with {package}/ in it", fetch)])
        return Source(package, given)
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise NotInstalledError([Problem(f"{package} is not installed here", fetch)])
    return Source(package, Path(spec.origin).parents[1])


def torch_module() -> ModuleType:
    """PyTorch, for functions that do arithmetic with it. Raises NotInstalledError."""
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise NotInstalledError(
            [
                Problem(
                    "torch is not installed, and the framework's functions need it", "pip install torch (CPU will do)"
                )
            ]
        ) from error


@cache
def _parsed(source: Source, path: str) -> ast.Module:
    return ast.parse(source.text(path))


def _find(tree: ast.Module | ast.ClassDef, path: list[str]) -> ast.FunctionDef | None:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and path == [node.name]:
            return node
        if isinstance(node, ast.ClassDef) and node.name == path[0]:
            return _find(node, path[1:])
    return None


def _bare(node: ast.FunctionDef) -> ast.FunctionDef:
    node.decorator_list, node.returns = [], None
    arguments = node.args
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        argument.annotation = None
    return node


def _globals(node: ast.AST) -> list[str]:
    return [name for item in ast.walk(node) if isinstance(item, ast.Global) for name in item.names]


def _importer(modules: Mapping[str, Mapping[str, Any]]) -> Any:
    def load(name: str, *args: Any) -> Any:
        return SimpleNamespace(**modules[name]) if name in modules else builtins.__import__(name, *args)

    return load
