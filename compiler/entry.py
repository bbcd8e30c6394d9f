"""How every command starts and ends: its arguments, its errors, its exit code."""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from compiler.errors import CompilerError, ConfigError, WriteError

NEEDED = frozenset({"hydra", "omegaconf", "jinja2", "networkx", "numpy", "rich", "yaml"})


class Parser(argparse.ArgumentParser):
    """Raises ConfigError for a bad command line, instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError.of(f"command line: {message}", f"see `{self.prog} --help`")


def finish(run: Callable[[Sequence[str]], int], argv: Sequence[str] | None) -> NoReturn:
    """Run a command and exit with its code, the contract's; a bug of ours keeps its traceback and exits 1."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no failure
    try:
        code = run(sys.argv[1:] if argv is None else argv)
        if sys.stdout is not None:
            sys.stdout.flush()
    except CompilerError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        code = error.exit_code
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in NEEDED:
            raise
        print(f"error: the package {error.name} is not installed ; run `pip install -e .` first", file=sys.stderr)
        code = ConfigError.exit_code
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read our output has gone
        code = 0
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries once more at its end
        print("error: standard output is full ; free the space, or send it elsewhere", file=sys.stderr)
        code = WriteError.exit_code
    sys.exit(code)
