"""Hydra's and OmegaConf's exceptions, as our one-line errors."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from compiler.config.settings import below, beside, meant, paths
from compiler.errors import ConfigError, Problem
from compiler.nearest import one_of
from compiler.render.assets import folder
from compiler.specs.degrees import looks_like_degrees

_SEVERAL = "write key=[a,b] for a list, or add -m to sweep over the values"
_QUOTE = "quote the value, as in 'key=\"a, b\"'"
TYPE = "write a value of that type"
NULL = "write a value, or leave it out"
HELP = "see `python -m compiler --help` for the keys and groups"

DEGREES = "degrees, as in tp8_pp4_adp16_ep8"

LAUNCHED = ("hydra/launcher", "hydra/sweeper")
PLUGINS = {
    "submitit": "hydra-submitit-launcher",
    "joblib": "hydra-joblib-launcher",
    "ray": "hydra-ray-launcher",
    "rq": "hydra-rq-launcher",
    "optuna": "hydra-optuna-sweeper",
    "nevergrad": "hydra-nevergrad-sweeper",
    "ax": "hydra-ax-sweeper",
}
"""Packages that bring Hydra's launchers and sweepers, by how the names of those begin."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn whatever Hydra, OmegaConf or the YAML parser raise on a user's input into ConfigError."""
    try:
        yield
    except ConfigError:
        raise
    except MissingConfigException as error:
        raise ConfigError([_missing(error)]) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_problems(error)) from error
    except BrokenPipeError:
        raise
    except RecursionError as error:
        raise ConfigError.of(
            "a value is nested too deep, or stands for itself", "write it flat, or mend the interpolation"
        ) from error
    except (OSError, UnicodeError) as error:
        raise ConfigError.of(f"a configuration file cannot be read: {error}", "write it as UTF-8 YAML") from error
    except (ValueError, OverflowError) as error:
        raise ConfigError([_value(error)]) from error
    except Exception as error:
        if _foreign(error):
            raise ConfigError.of(
                f"an override or a file cannot be composed: {type(error).__name__} {_flat(error)}",
                "mend the value or the file it names",
            ) from error
        raise


def _foreign(error: Exception) -> bool:
    """Whether Hydra or OmegaConf tripped over what a user wrote: they expect some shapes without looking."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and any(f"/{package}/" in frames[-1].filename for package in ("hydra", "omegaconf", "antlr4"))


def _flat(error: object) -> str:
    return " ".join(str(error).split())


def _missing(error: MissingConfigException) -> Problem:
    """A file that Hydra did not find; where it named the options, so do we."""
    found = re.search(r"(?:Could not (?:find|load)|Cannot find primary config) '([^']+)'", str(error))
    group, _, name = found[1].rpartition("/") if found else ("", "", "")
    listed = str(error).partition("Available options in")[2].split("\n")
    options = [line.strip() for line in listed[1:] if line.startswith("\t") and "://" not in line]
    what = f"{group}={name} is not known" if group else f"the configuration {name or _flat(error)} is not found"
    plugin = next((package for start, package in PLUGINS.items() if group in LAUNCHED and name.startswith(start)), None)
    if plugin is not None:
        return Problem(
            f"{what}: the package {plugin} is not installed", f"run `pip install {plugin}`, or leave {group} out"
        )
    options = options or sorted(path.stem for path in folder("conf").joinpath(group).glob("*.yaml") if group)
    if not options:
        return Problem(what, HELP)
    if group == "parallel":
        return Problem(what, of_degrees(name, options))
    return Problem(what, one_of(name, options, "" if group == "scheduler" else group))


def of_degrees(name: str, options: Sequence[str]) -> str:
    """What to write for `parallel`: degrees, or a file; other marks between degrees were meant as `_`."""
    files = [option for option in options if not looks_like_degrees(option)]
    spelt = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if name and spelt != name and looks_like_degrees(spelt):
        return f"did you mean parallel={spelt}? Else write {DEGREES}, or one of {', '.join(files)}"
    return one_of(name, files, "parallel").replace("one of ", f"{DEGREES}, or one of ", 1)


def _problems(error: BaseException) -> list[Problem]:
    """The whole chain of causes in one line; errors of ours that passed through Hydra keep their own words."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, ConfigError):
            return list(current.problems)
        chain.append(current)
        current = current.__cause__
    texts = [str(item) for item in chain if str(item)]
    return [Problem(*_told(texts))]


_SAID: tuple[tuple[str, str, str], ...] = (
    (r"field '(.+?)' is not Optional", "{0}=null is no value", NULL),
    (
        r"~(\S+?) ?: .* does not support deletion",
        "~{0} takes away a setting, which has a value in any case",
        "leave it out",
    ),
    (r"Could not override '(.+?)'.*No match in the defaults list", "{0} is not a group of this configuration", HELP),
    (r"Could not override '(.+?)'", "{0} is not a setting", HELP),
    (r"In '(.+?)'.*Key '(.+?)' (?:is )?not in", "{1} is not a setting (in {0})", HELP),
    (r"Error merging override \+*(\S+?)=.*Key '(.+?)' (?:is )?not in", "{0} is not a setting", HELP),
    (r"Key '(.+?)' (?:is )?not in", "{0} is not a setting", HELP),
    (r"Ambiguous value for argument '\+*(.+?)'", "{0} has several values", _SEVERAL),
    (r"Sweep parameters '\+*(.+?)' requires --multirun", "{0} has several values", _SEVERAL),
    (
        r"Error merging override \+*(.+?) : .* is not a ListConfig, list or tuple",
        "{0} is not a list",
        "write key=[a,b]",
    ),
    (
        r"Error merging override \+*(.+?) : list index out of range",
        "{0}: the list has no such entry",
        "write key=[a,b]",
    ),
    (r"Error merging override \+*(.+?) : (.+)", "{0}: {1}", TYPE),
    (
        r"In '(.+?)': (?:ValidationError|ValueError|Validation error) (?:raised while composing config: )?(.+)",
        "{1} (in {0})",
        TYPE,
    ),
    (r"Error parsing override '\+*(.+?)' (.+?) See https", "{0} cannot be read: {1}", _QUOTE),
    (r"LexerNoViableAltException: \+*(.+?) \^", "{0} cannot be read", _QUOTE),
    (r"^(.+?) See https", "an override cannot be read: {0}", _QUOTE),
)
"""What Hydra and OmegaConf say, flattened to one line, and how we say it."""


def _told(texts: list[str]) -> tuple[str, str]:
    """What and what to write, with the key that OmegaConf names on a line of its own."""
    if found := _of_key("\n".join(texts), texts[0].splitlines()[0]):
        return found
    bare = [re.sub(r"\n\s*(full_key|object_type|reference_type).*", "", text) for text in texts]
    whole = _flat(" : ".join(bare))
    for pattern, what, instead in _SAID:
        matched = re.search(pattern, whole)
        if matched:
            said = instead.format(*matched.groups()) if "{0}" in instead else instead
            return what.format(*matched.groups()), said if whole.isprintable() else "write it in UTF-8"
    return whole, "mend the value or the file it names"


def _of_key(said: str, first: str) -> tuple[str, str] | None:
    """What is said of a key whose whole path OmegaConf names."""
    if key := re.search(r"[Ii]nterpolation.*\n\s*full_key: (.+)", said):
        return f"{key[1]}: {first}", "mend the value or the file it names"
    if key := re.search(r"^Could not (?:override|append to config[^']*) ?'\+*([^']+?)'[^\0]*\n\s*full_key: (.+)", said):
        shorter, longer = sorted(key.groups(), key=len)
        related = f"{longer}.".startswith(f"{shorter}.")
        return _unknown(max(key[1], key[2], key=len) if related else f"{key[1]}.{key[2]}")  # of an entry of a list
    if key := re.search(r"Invalid type assigned: NoneType is not a subclass of [^\0]*\n\s*full_key: (.+\])", said):
        return f"{key[1]}=null is no value", NULL
    if key := re.search(r"Invalid type assigned: \w+ is not a subclass of [^\0]*\n\s*full_key: (.+)", said):
        return section(key[1])
    if key := re.search(r"Key '.+?' (?:is )?not in [^\0]*\n\s*full_key: (.+)", said):
        file = re.search(r"In '(.+?)':", said)
        what, instead = _unknown(key[1])
        return (f"{what} (in {file[1]})" if file else what), instead
    return _of_value(said)


def _of_value(said: str) -> tuple[str, str] | None:
    """What is said of a value of another type."""
    if typed := re.search(
        r"In '(.+?)': Validation ?Error raised while composing config:\s*\n(.+)\n\s*full_key: (.+)", said
    ):
        return f"{typed[3]}: {typed[2]} (in {typed[1]})", TYPE
    if typed := re.match(r"(Value .+|Cannot assign .+)\n\s*full_key: (\S+)", said):
        return f"{typed[2]}: {typed[1]}", TYPE
    return None


def section(key: str) -> tuple[str, str]:
    """A value where other keys belong."""
    keys = ", ".join(f"{path}=..." for path in below(key)) or f"{key}.KEY=..."
    near = beside(key)
    return f"{key} is a section of keys, and takes no value", f"{near} Else write {keys}" if near else f"write {keys}"


def _unknown(key: str) -> tuple[str, str]:
    """A key that there is not, or not in this configuration: a target's options come with the target."""
    if key in paths() and key.startswith("scheduler."):
        target = key.split(".")[1]
        what = (
            f"scheduler.{target} is not a setting here: the plan has no scheduler={target}, so that {key} is of nothing"
        )
        return what, f"add {target} to scheduler=[...], or leave {key} out"
    if key.startswith("hydra.launcher."):
        shown = "python -m compiler hydra/launcher=NAME --cfg hydra -p hydra.launcher"
        return f"{key} is not a setting of this launcher", f"write +{key}=... to add it, or see `{shown}`"
    return f"{key} is not a setting", meant(key) or HELP


def _value(error: ValueError | OverflowError) -> Problem:
    if key := re.search(r"\n\s*full_key: (.+)", str(error)):
        return Problem(f"{key[1]}: {str(error).splitlines()[0]}", TYPE)
    return Problem(_flat(error), "mend the value or the file it names")
