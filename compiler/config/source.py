"""Two things Hydra finds with no file: the schema, and `parallel=<degrees>`."""

from __future__ import annotations

from typing import Optional

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.errors import ConfigCompositionException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from compiler.config.schema import schema
from compiler.errors import ConfigError
from compiler.specs.degrees import looks_like_degrees, parse

SCHEMA = "rankplan_schema"
SCHEME = "rankplan"


class RankplanSource(ConfigSource):
    """Serves the schema of the whole configuration, and any list of degrees as an option of the group `parallel`."""

    @staticmethod
    def scheme() -> str:
        return SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        name = self._bare(config_path)
        if name == SCHEMA:
            return ConfigResult(SCHEME, config_path, schema(), {"package": ""})
        try:
            degrees = parse(name.removeprefix("parallel/"))
        except ConfigError as error:
            raise ConfigCompositionException(str(error)) from error
        return ConfigResult(SCHEME, config_path, OmegaConf.create(degrees), {"package": "parallel"})

    def is_group(self, config_path: str) -> bool:
        return config_path in ("", "parallel")

    def is_config(self, config_path: str) -> bool:
        name = self._bare(config_path)
        group, _, option = name.rpartition("/")
        return name == SCHEMA or (group == "parallel" and looks_like_degrees(option))

    def available(self) -> bool:
        return True

    def list(self, config_path: str, results_filter: Optional[ObjectType]) -> list[str]:
        """Examples for help and completion: any list of degrees is accepted."""
        if config_path != "parallel" or results_filter is ObjectType.GROUP:
            return []
        return ["ep16_tp4_pp4_dp4", "tp8_pp4_adp16_ep8"]

    @staticmethod
    def _bare(config_path: str) -> str:
        return config_path.removesuffix(".yaml")


class RankplanSearchPath(SearchPathPlugin):
    """Puts further folders, and after them the degrees, behind the primary one."""

    folders: tuple[str, ...] = ()

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in self.folders:
            search_path.append("command-line", f"file://{folder}")
        search_path.append(SCHEME, f"{SCHEME}://")
