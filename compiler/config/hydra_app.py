"""Hydra's own application: its help, its looks at a configuration, and its sweeps."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

import hydra
from hydra.core.plugins import Plugins
from omegaconf import DictConfig

from compiler.config.compose import normalised, registered, search_folder
from compiler.config.messages import HELP, translated
from compiler.config.source import RankplanSearchPath, RankplanSource
from compiler.errors import ConfigError, shown
from compiler.render.assets import folder

QUIET = (
    "hydra.job.name=rankplan",
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
    "hydra/help=rankplan",
)
"""Hydra leaves no folder, no log and no copy of the configuration, and its help page is ours."""


def start(
    task: Callable[[DictConfig], Any],
    flags: Sequence[str],
    overrides: Sequence[str],
    config_dir: str | None,
    config_name: str | None,
) -> None:
    """Run Hydra's application. Raises ConfigError for whatever Hydra refuses."""
    with translated():
        directory = search_folder(config_dir, config_name)
    primary = directory if config_name is not None else None
    conf = str(folder("conf"))
    RankplanSearchPath.folders = (conf,) if primary else (directory,) if directory else ()
    Plugins.instance().register(RankplanSource)
    Plugins.instance().register(RankplanSearchPath)
    sys.argv = [sys.argv[0], *flags, *QUIET, *normalised(overrides)]
    app = hydra.main(version_base="1.3", config_path=primary or conf, config_name=config_name or "config")
    with translated(), registered():
        app(task)()


def show(args: argparse.Namespace) -> int:
    """Hydra's --help, --cfg, --info and completion."""
    logging.raiseExceptions = False  # whoever reads our output may stop reading
    flags = [
        f"--{name}"
        for name in ("help", "hydra-help", "resolve", "shell-completion")
        if getattr(args, name.replace("-", "_"))
    ]
    for name in ("cfg", "package", "info"):
        if getattr(args, name) is not None:
            flags += [f"--{name}", getattr(args, name)]
    primary = None if args.help else args.config_name  # the help page is that of our own primary file
    found, said = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(found), contextlib.redirect_stderr(said):
            start(lambda _: None, flags, args.overrides, args.config_dir or args.config_path, primary)
    except SystemExit as stop:
        if stop.code:
            raise ConfigError.of(said.getvalue() or "Hydra cannot show that", HELP) from stop
    finally:
        print(*map(shown, found.getvalue().expandtabs().split("\n")), sep="\n", end="")
    return 0
