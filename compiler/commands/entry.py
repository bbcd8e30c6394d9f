"""How every command beside the compiler starts and ends: its arguments, its errors, its exit code."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from compiler.cli import print_problems
from compiler.errors import CompilerError, ConfigError


class Parser(argparse.ArgumentParser):
    """Raises ConfigError for a bad command line, instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError.of(f"command line: {message}", f"see `{self.prog} --help`")


def finish(run: Callable[[Sequence[str]], int], argv: Sequence[str] | None) -> NoReturn:
    """Run a command and exit with its code; a bug of ours keeps its traceback and exits 1."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no failure
    try:
        code = run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except CompilerError as error:
        print_problems(error)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read our output has gone
        code = 0
    sys.exit(code)
