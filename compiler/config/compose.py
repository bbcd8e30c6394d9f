"""Overrides -> one composed DictConfig, without touching anybody's GlobalHydra."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args, get_origin

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig, flag_override

from compiler import plugins
from compiler.config import choices
from compiler.config.choices import GROUPS
from compiler.config.composed import composed
from compiler.config.messages import of_degrees, translated
from compiler.config.sealed import sealed
from compiler.config.settings import typed
from compiler.config.source import PLUGINS, SCHEME, FileConfigSource, RankplanSource
from compiler.errors import ConfigError, Problem, short
from compiler.nearest import one_of
from compiler.render.assets import folder

OPEN = (
    *("workload.pools.", "model.quantization.", "model.blocks.", "model.other_params.", "model.towers."),
    *("launch.environment.", "launch.secrets.", "site.environment."),
    *("site.slurm.directives.", "site.kubernetes.node_selector.", "site.kubernetes.pod_annotations."),
)
"""Mappings with the user's own keys, or without a type of their own, which may be set without Hydra's leading +."""


MOST_WEIGHT = 6000
"""Of all overrides together: Hydra's parser takes seconds for a list of 5,000 entries, and minutes for a longer one."""


def normalised(overrides: Sequence[str]) -> list[str]:
    """Of a repeated override the last wins; keys of the open mappings may be new.

    Raises ConfigError for an override of no form, for a group that is given a number or nothing, and for more than Hydra's
    parser reads in a few seconds.
    """
    weight = sum(map(_weight, overrides))
    if weight > MOST_WEIGHT:
        raise ConfigError.of(
            f"{len(overrides):,} overrides with {weight:,} marks outside quotes are more than the {MOST_WEIGHT:,} that the "
            "command line takes",
            "write a file, and name its folder with --config-dir",
        )
    overrides = list(_one_framework(overrides))
    bad = [problem for override in overrides if (problem := _misspelt(override))]
    if bad:
        raise ConfigError(bad)
    last: dict[str, str] = {}
    for override in overrides:
        text = _opened(override)
        last.pop(_key(text), None)
        last[_key(text)] = text
    return list(last.values())


def _one_framework(overrides: Sequence[str]) -> Iterator[str]:
    """A search compares several frameworks: Hydra is given the first of them, and the search all."""
    for override in overrides:
        listed = re.fullmatch(r"framework=\[([\w, -]+)\]", override)
        if listed is None or "parallel=auto" not in overrides:
            yield override
        else:
            names = [name.strip() for name in listed[1].split(",")]
            yield from (f"framework={names[0]}", f"search.frameworks=[{','.join(dict.fromkeys(names))}]")


def _weight(override: str) -> int:
    """How much there is to parse: the override itself, and every mark or blank that no quotes hold."""
    bare = re.sub(r"'[^'\\]*'|\"[^\"\\]*\"", "", override)
    return 2 + len(re.findall(r"\W", bare)) + len(override) // 100


def _opened(override: str) -> str:
    """A key of an open mapping may be new, and a variable is the text that was written: 1e3 is not 1000.0."""
    key, _, value = override.partition("=")
    if not f"{key}.".startswith(OPEN):
        return override
    if ".environment." in key and value != "null" and re.fullmatch(r"[\w.+-]+", value):
        value = f"'{value}'"
    return f"++{key}={value}"


_KEPT = {"~model": "leave it out, or choose another model", "~scheduler": "write scheduler=[] for none"}
"""Groups that others refer to, or that are lists: nobody can take them away."""


def _misspelt(override: str) -> Problem | None:
    key, equals, value = override.partition("=")
    if not key or not (equals or key.startswith("~")):
        return Problem(f"'{override}' is no override", "write KEY=VALUE, as in hardware.nodes=16")
    if key in _KEPT:
        return Problem(f"{key} leaves the plan without a {key[1:]}", _KEPT[key])
    group = key.lstrip("+")
    if group in GROUPS and (what := choices.refused(group, value)):
        none = ", or ~expect for none" if group == "expect" else ""
        return Problem(what, f"{known(group)}{none}")
    return _within_list(group) or _with_equals(key, value) or choices.endless(group, value)


def _within_list(key: str) -> Problem | None:
    """A name where a list has its entries."""
    whole, _, name = key.rpartition(".")
    hint = typed(whole)[0]
    if name.isdigit() or not any(get_origin(part) is list for part in (hint, *get_args(hint))):
        return None
    return Problem(f"{key}: {whole} is a list, and has no names", f"write all of it, as in {whole}=[A,B]")


def _with_equals(key: str, value: str) -> Problem | None:
    """An entry of a list, or a whole value, that holds an equals sign: Hydra takes it in quotes alone."""
    listed = value.startswith("[") and value.endswith("]")
    if "=" not in value or re.match(r"\w+\(", value) or re.search(r"[\"'{}\\$]|\[.*\[|^ ", value):
        return None
    entries = value[1:-1].split(",") if listed else [value]
    quoted = [f'"{entry.strip()}"' if "=" in entry else entry.strip() for entry in entries]
    whole = f"[{','.join(quoted)}]" if listed else quoted[0]
    return Problem(
        f"{key}: {short(value)} has an equals sign outside of quotes",
        f"quote it, as in {shlex.quote(f'{key}={whole}')}",
    )


def known(group: str, word: str = "", key: str = "") -> str:
    """What to write in the place of `word` (of `key=word`): one of the options of a group that ship with the package."""
    others = plugins.theirs(PLUGINS[group][0]) if group in PLUGINS else ()
    options = sorted({*(path.stem for path in _files(group)), *others})
    return of_degrees(word, options) if group == "parallel" else one_of(word, options, key)


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
    same_size = file.is_file() and file.stat().st_size == ours.stat().st_size
    return file.is_file() and not (same_size and file.read_bytes() == ours.read_bytes())


def search_path(config_dir: str | None, primary_dir: str | None = None) -> ConfigSearchPathImpl:
    """Ours before the user's, and degrees last, so that a file of that name wins; a primary's folder before all."""
    path = ConfigSearchPathImpl()
    path.append("hydra", "pkg://hydra.conf")
    if primary_dir is not None:
        path.append("primary", f"file://{primary_dir}")
    path.append("main", f"file://{folder('conf')}")
    if config_dir is not None:
        path.append("command-line", f"file://{config_dir}")
    path.append(SCHEME, f"{SCHEME}://")
    path.append("schema", "structured://")
    return path


@contextmanager
def registered() -> Iterator[None]:
    """Our sources are known, Hydra's behaviour is that of 1.3 and it warns of nothing, only for as long as we compose.

    What it would warn of (a primary file that does not say where its own keys stand) has a fixed answer: they come last.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield from _with_sources()


def _with_sources() -> Iterator[None]:
    Plugins.instance()
    types = SourcesRegistry.instance().types
    before, base = dict(types), version.getbase()
    types.update({SCHEME: RankplanSource, "file": FileConfigSource})
    version.setbase("1.3")
    try:
        yield
    finally:
        version.VersionBase.instance().version_base = base
        types.clear()
        types.update(before)


def compose(overrides: Sequence[str], config_dir: str | None = None, config_name: str | None = None) -> DictConfig:
    """Compose conf/config.yaml, or the primary file `config_name` of `config_dir`, with overrides; nothing of Hydra's own.

    Raises ConfigError for whatever Hydra refuses.
    """
    name = re.sub(r"\.ya?ml$", "", config_name or "config")
    with translated(), sealed(), registered():
        directory = search_folder(config_dir, config_name)
        primary = directory if config_name is not None else None
        loader, given = ConfigLoaderImpl(search_path(directory, primary)), normalised(overrides)
        if primary is None and not any(_key(override).startswith("hydra") for override in given):
            cfg = composed(loader, name, given, ours=directory is None)
        else:
            cfg = loader.load_configuration(name, ["hydra.job.name=rankplan", *given], RunMode.RUN)
    with flag_override(cfg, ["struct", "readonly"], [False, False]):
        cfg.pop("hydra", None)
    return cfg


def parsed(overrides: Sequence[str], config_dir: str | None, config_name: str | None) -> list[Override]:
    """Overrides in Hydra's terms, sweeps among them. Raises ConfigError for a spelling that Hydra cannot read."""
    with translated(), registered():
        loader = ConfigLoaderImpl(search_path(search_folder(config_dir, config_name)))
        return OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
