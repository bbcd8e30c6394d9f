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


JSON = "--json"
"""With it every command answers programs: one object on standard output, also where something is wrong."""


class Parser(argparse.ArgumentParser):
    """Raises ConfigError for a bad command line, instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError.of(f"command line: {message}", f"see `{self.prog} --help`")


def finish(run: Callable[[Sequence[str]], int], argv: Sequence[str] | None) -> NoReturn:
    """Run a command and exit with its code, the contract's; a bug of ours keeps its traceback and exits 1."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no failure
    given = sys.argv[1:] if argv is None else argv
    try:
        code = run(given)
        say(flush=True)
    except (CompilerError, ModuleNotFoundError, KeyboardInterrupt, OSError) as error:
        code = _code(error, json=JSON in given)
    sys.exit(code)


def say(*lines: str, flush: bool = False) -> None:
    """Print lines of an answer whose exit code counts too: whoever read them may have gone, and the code stays what it is."""
    try:
        for line in lines:
            print(line)
        if flush and sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _silence()


def _code(error: BaseException, *, json: bool) -> int:
    """Say what is wrong, for a program too where it asks for `json`, and the exit code for it. Raises what is no mistake of a user's."""
    if isinstance(error, CompilerError):
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        if json:
            _print_json(error)
        return error.exit_code
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in NEEDED:
        print(f"error: the package {error.name} is not installed ; run `pip install -e .` first", file=sys.stderr)
        return ConfigError.exit_code
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, BrokenPipeError):
        _silence()  # whoever read our output has gone
        return 0
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        _silence()
        print("error: standard output is full ; free the space, or send it elsewhere", file=sys.stderr)
        return WriteError.exit_code
    raise error


def _print_json(error: CompilerError) -> None:
    """Every problem, as one object on standard output."""
    import json

    problems = [{"error": str(problem), "instead": str(problem).rpartition(" ; ")[2]} for problem in error.problems]
    print(json.dumps({"exit": error.exit_code, "errors": problems}, indent=1))


def _silence() -> None:
    """Python writes what is left in its buffer once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
