"""Overrides -> one composed DictConfig, without touching anybody's GlobalHydra."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig

from compiler.config.messages import DEGREES, translated
from compiler.config.source import SCHEME, SHIPPED, RankplanSource, ShippedSource
from compiler.errors import ConfigError, Problem
from compiler.nearest import one_of
from compiler.render.assets import folder

OPEN = (
    "workload.pools.",
    *("launch.environment.", "launch.secrets.", "site.environment."),
    *("site.slurm.directives.", "site.kubernetes.node_selector.", "site.kubernetes.pod_annotations."),
)
"""Mappings with the user's own keys, or without a type of their own, which may be set without Hydra's leading +."""


GROUPS = ("hardware", "model", "parallel", "workload", "framework", "scheduler", "site", "launch", "expect")


def normalised(overrides: Sequence[str]) -> list[str]:
    """Of a repeated override the last wins; keys of the open mappings may be new.

    Raises ConfigError for an override of no form, and for a group that is given a number or nothing.
    """
    bad = [problem for override in overrides if (problem := _misspelt(override))]
    if bad:
        raise ConfigError(bad)
    last: dict[str, str] = {}
    for override in overrides:
        text = _opened(override)
        last.pop(_key(text), None)
        last[_key(text)] = text
    return list(last.values())


def _opened(override: str) -> str:
    """A key of an open mapping may be new, and a variable is the text that was written: 1e3 is not 1000.0."""
    key, _, value = override.partition("=")
    if not f"{key}.".startswith(OPEN):
        return override
    if ".environment." in key and value != "null" and re.fullmatch(r"[\w.+-]+", value):
        value = f"'{value}'"
    return f"++{key}={value}"


def _misspelt(override: str) -> Problem | None:
    key, equals, value = override.partition("=")
    if not key or not (equals or key.startswith("~")):
        return Problem(f"'{override}' is no override", "write KEY=VALUE, as in hardware.nodes=16")
    if key in GROUPS and re.fullmatch(r"|null|true|false|[0-9.]+", value.strip(), re.IGNORECASE):
        none = ", or ~expect for none" if key == "expect" else ""
        return Problem(f"{override} names no option of the group {key}", f"{known(key)}{none}")
    return None


def known(group: str, word: str = "", key: str = "") -> str:
    """What to write in the place of `word` (of `key=word`): one of the options of a group that ship with the package."""
    written = one_of(word, [path.stem for path in _files(group)], key)
    return written.replace("one of ", f"one of {DEGREES}, ", 1) if group == "parallel" else written


def _files(group: str) -> list[Path]:
    return sorted(folder("conf").joinpath(group).glob("*.yaml"))


def _key(override: str) -> str:
    return override.split("=", 1)[0].lstrip("+~")


def search_folder(config_dir: str | None, config_name: str | None = None) -> str | None:
    """The absolute path of the user's folder.

    Raises ConfigError where it is none, and where a file of it would be passed over for one of ours of that name: ours
    come first, unless a primary file of the user's (`config_name`) is there too.
    """
    if config_dir is None:
        return None
    path = Path(config_dir).expanduser()
    if not path.is_dir():
        raise ConfigError.of(f"--config-dir={config_dir} is not a folder", "name a folder that holds group folders")
    taken = [f"{path / group / file.name}" for group in GROUPS for file in _files(group) if _hidden(path / group, file)]
    if taken and config_name is None:
        raise ConfigError(
            Problem(f"{file} has the name of a file of ours", "give it a name of its own") for file in taken
        )
    return str(path.absolute())


def _hidden(theirs: Path, ours: Path) -> bool:
    """Whether the user's folder of a group has another file of that name."""
    file = theirs / ours.name
    return file.is_file() and file.read_bytes() != ours.read_bytes()


def search_path(config_dir: str | None, primary_dir: str | None = None) -> ConfigSearchPathImpl:
    """Ours before the user's, and degrees last, so that a file of that name wins; a primary's folder before all."""
    path = ConfigSearchPathImpl()
    path.append("hydra", "pkg://hydra.conf")
    if primary_dir is not None:
        path.append("primary", f"file://{primary_dir}")
    path.append("main", f"{SHIPPED}://{folder('conf')}")
    if config_dir is not None:
        path.append("command-line", f"file://{config_dir}")
    path.append(SCHEME, f"{SCHEME}://")
    path.append("schema", "structured://")
    return path


@contextmanager
def _registered() -> Iterator[None]:
    """Our sources are known, and Hydra's behaviour is that of 1.3, only for as long as we compose."""
    Plugins.instance()
    types = SourcesRegistry.instance().types
    mine, base = {SCHEME: RankplanSource, SHIPPED: ShippedSource}, version.getbase()
    new = [scheme for scheme in mine if scheme not in types]
    types.update(mine)
    version.setbase("1.3")
    try:
        yield
    finally:
        version.VersionBase.instance().version_base = base
        for scheme in new:
            del types[scheme]


def compose(overrides: Sequence[str], config_dir: str | None = None, config_name: str | None = None) -> DictConfig:
    """Compose conf/config.yaml, or the primary file `config_name` of `config_dir`, with overrides.

    Raises ConfigError for whatever Hydra refuses.
    """
    name = re.sub(r"\.ya?ml$", "", config_name or "config")
    with translated(), _registered():
        directory = search_folder(config_dir, config_name)
        primary = directory if config_name is not None else None
        loader = ConfigLoaderImpl(search_path(directory, primary))
        return loader.load_configuration(name, ["hydra.job.name=rankplan", *normalised(overrides)], RunMode.RUN)


def parsed(overrides: Sequence[str], config_dir: str | None, config_name: str | None) -> list[Override]:
    """Overrides in Hydra's terms, sweeps among them. Raises ConfigError for a spelling that Hydra cannot read."""
    with translated(), _registered():
        loader = ConfigLoaderImpl(search_path(search_folder(config_dir, config_name)))
        return OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
