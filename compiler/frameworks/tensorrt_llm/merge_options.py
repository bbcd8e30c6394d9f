"""Starts a program with two options files as one: `merge_options.py THEIRS PROGRAM ARGUMENT... --extra_llm_api_options OURS ...`.

What the plan says (OURS) stands; THEIRS adds to it. A key that both set to different values ends it with exit code 64 and a line.
Runs in TensorRT-LLM's own environment, which has PyYAML.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

OPTION = "--extra_llm_api_options"


def merged(ours: dict[str, Any], theirs: dict[str, Any], where: str = "") -> dict[str, Any]:
    """Both as one mapping. Raises ValueError for a key that they disagree about."""
    found = dict(ours)
    for key, value in theirs.items():
        if isinstance(value, dict) and isinstance(ours.get(key), dict):
            found[key] = merged(ours[key], value, f"{where}{key}.")
        elif key in ours and ours[key] != value:
            raise ValueError(f"{where}{key} is {value!r}, and the plan's is {ours[key]!r}")
        else:
            found[key] = value
    return found


def read(path: str) -> dict[str, Any]:
    """A file's mapping. Raises ValueError for anything else, and OSError."""
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    if not isinstance(content, dict):
        raise ValueError("it holds no mapping")  # noqa: TRY004 - one kind of error for all that is wrong with a file
    return content


def main(words: list[str]) -> NoReturn:
    """Become the program; ends with 64 where the files cannot be one."""
    import yaml

    theirs, *command = words
    at = command.index(OPTION) + 1
    try:
        both = merged(read(command[at]), read(theirs))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"rankplan: options of {theirs}: {error}\n")
        sys.exit(64)
    handle, command[at] = tempfile.mkstemp(suffix=".yaml")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        yaml.safe_dump(both, file)
    os.execvp(command[0], command)  # noqa: S606 - an argument list, no shell


if __name__ == "__main__":
    main(sys.argv[1:])
