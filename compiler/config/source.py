"""What Hydra finds with no file: the schema, `parallel=<degrees>`, and frameworks and schedulers of other packages. And files, read
safely and fast.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Optional

from hydra._internal.core_plugins import file_config_source
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.errors import ConfigCompositionException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_yaml_loader

from compiler import plugins
from compiler.config.choices import GROUPS
from compiler.config.schema import schema, writable
from compiler.errors import ConfigError
from compiler.inputs import yaml_mapping
from compiler.inputs.file import MOST_YAML_BYTES
from compiler.inputs.file import text as text_of
from compiler.render.assets import folder
from compiler.specs.degrees import looks_like_degrees, parse

SCHEMA = "rankplan_schema"
SCHEME = "rankplan"
AUTO = "auto"
"""The option of the group `parallel` that leaves the degrees to a search."""
PLUGINS = {"framework": (plugins.FRAMEWORKS, "framework"), "scheduler": (plugins.SCHEDULERS, "scheduler.{}")}
"""Group -> the entry points that may be options of it, and where such an option goes."""


class RankplanSource(ConfigSource):
    """Serves the schema of the whole configuration, and any list of degrees as an option of the group `parallel`, and a search for them."""

    @staticmethod
    def scheme() -> str:
        return SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        name = self._bare(config_path)
        if name == SCHEMA:
            return ConfigResult(SCHEME, config_path, schema(), {"package": ""})
        group, _, option = name.rpartition("/")
        if group in PLUGINS:
            return ConfigResult(
                SCHEME, config_path, _plugin(group, option), {"package": PLUGINS[group][1].format(option)}
            )
        if name == f"parallel/{AUTO}":
            return ConfigResult(
                SCHEME, config_path, OmegaConf.create({"search": {"auto": True}}), {"package": "_global_"}
            )
        try:
            degrees = parse(name.removeprefix("parallel/"))
        except ConfigError as error:
            raise ConfigCompositionException(str(error)) from error
        return ConfigResult(SCHEME, config_path, OmegaConf.create(degrees), {"package": "parallel"})

    def is_group(self, config_path: str) -> bool:
        return config_path in ("", "parallel", *PLUGINS)

    def is_config(self, config_path: str) -> bool:
        name = self._bare(config_path)
        group, _, option = name.rpartition("/")
        if group in PLUGINS:
            kind = PLUGINS[group][0]
            return option not in plugins.ours(kind) and option in plugins.theirs(kind)
        return name == SCHEMA or (group == "parallel" and (option == AUTO or looks_like_degrees(option)))

    def available(self) -> bool:
        return True

    def list(self, config_path: str, results_filter: Optional[ObjectType]) -> list[str]:
        """For help and completion. Of degrees examples: any list of them is accepted."""
        if config_path in PLUGINS and results_filter is not ObjectType.GROUP:
            return sorted(plugins.theirs(PLUGINS[config_path][0]))
        if config_path != "parallel" or results_filter is ObjectType.GROUP:
            return []
        return [AUTO, "ep16_tp4_pp4_dp4", "tp8_pp4_adp16_ep8"]

    @staticmethod
    def _bare(config_path: str) -> str:
        return config_path.removesuffix(".yaml")


def _plugin(group: str, name: str) -> DictConfig:
    """The defaults of a framework or scheduler that lives elsewhere, and needs no file for them."""
    if group == "framework":
        return OmegaConf.create({"name": name})
    return writable(plugins.load(plugins.SCHEDULERS, name, "TARGET").options)


class FileConfigSource(file_config_source.FileConfigSource):
    """Folders of YAML files, ours and the user's, in the place of Hydra's own source.

    Hydra's parser is slow (a tenth of it is left with libyaml) and takes files of any size. The name is that of Hydra's own:
    a launcher's job is started with the sources of the sweep, then registers Hydra's, and two of a name are one to it.
    """

    def load_config(self, config_path: str) -> ConfigResult:
        """Raises ConfigError for a file that cannot be read, or is no mapping."""
        path = Path(self.path, self._normalize_file_name(config_path))
        text = text_of(str(path), path, "name a YAML file", MOST_YAML_BYTES)
        header = ConfigSource._get_header_dict(text[:512])  # noqa: SLF001 - as Hydra's own source reads it
        return ConfigResult(
            self.provider, f"file://{self.path}", values(path, text, known=path.is_relative_to(folder("conf"))), header
        )

    def list(self, config_path: str, results_filter: Optional[ObjectType]) -> list[str]:
        """The groups that a plan has, and none below: Hydra's help would walk all that lies in a folder, curves of ours among it."""
        if results_filter is not ObjectType.GROUP:
            found: list[str] = super().list(config_path, results_filter)
            return found
        return [] if config_path else [name for name in GROUPS if Path(self.path, name).is_dir()]


def values(path: Path, text: str, *, known: bool = False) -> DictConfig:
    """The text of a YAML file as OmegaConf reads it (1e9 is a number). Raises ConfigError for what is no mapping."""
    return OmegaConf.create(yaml_mapping.read(str(path), text, _resolvers(), known=known))


@cache
def _resolvers() -> Any:
    return get_yaml_loader().yaml_implicit_resolvers


class RankplanSearchPath(SearchPathPlugin):
    """Puts further folders, and after them the degrees, behind the primary one."""

    folders: tuple[str, ...] = ()

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for place in self.folders:
            search_path.append("command-line", f"file://{place}")
        search_path.append(SCHEME, f"{SCHEME}://")
