"""Functions taken out of a package's source: from a wheel, from a folder, and what is said where they are not there."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

import pytest

from compiler.frameworks.lifted import Silent, Source, source
from compiler.frameworks.proof import NotInstalledError

TEXT = """
from somewhere import everything
_GROUP: "everything" = None

@everything.decorated
def built(size: everything.Size) -> everything:
    global _GROUP
    from package.other import answer
    _GROUP = [answer, size, helper()]
    return _GROUP

def helper():
    return logger.info("never printed")

class Config:
    @property
    def doubled(self):
        return self.size * 2
"""


@pytest.fixture(params=["wheel", "folder"])
def package(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    files = {"package/a/b.py": TEXT, "package-1.2.3.dist-info/METADATA": "", "package/a/c/d.py": ""}
    if request.param == "wheel":
        with zipfile.ZipFile(tmp_path / "package-1.2.3-py3-none-any.whl", "w") as wheel:
            for name, text in files.items():
                wheel.writestr(name, text)
        return source("package", tmp_path / "package-1.2.3-py3-none-any.whl", "1.2.3")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return source("package", tmp_path, "1.2.3")


def test_functions_run_without_what_their_module_imports(package: Source) -> None:
    found = package.lift("a/b.py", "built", "helper", logger=Silent(), imports={"package.other": {"answer": 42}})
    assert found.space["_GROUP"] is None
    assert found.built(3) == [42, 3, None]
    assert found.space["_GROUP"] == [42, 3, None]


def test_methods_are_functions(package: Source) -> None:
    lifted = package.lift("a/b.py", "Config.doubled")
    assert lifted.doubled(type("Any", (), {"size": 4})) == 8


def test_a_package_says_what_it_has(package: Source) -> None:
    assert package.version() == "1.2.3"
    assert package.names("a") == ["a/b.py"]
    assert (package.holds("a/b.py"), package.holds("b.py")) == (True, False)
    assert (package.defines("a/b.py", "Config.doubled"), package.defines("a/b.py", "doubled")) == (True, False)


def test_what_is_missing_is_named(package: Source) -> None:
    with pytest.raises(NotInstalledError, match=r"a/b.py has no gone ; prove with the version that the rules are for"):
        package.lift("a/b.py", "gone")
    with pytest.raises(NotInstalledError, match=r"has no package/gone.py ; name a wheel of package"):
        package.text("gone.py")


def test_a_package_that_is_not_installed_is_to_be_fetched() -> None:
    assert importlib.util.find_spec("no_such_package") is None
    with pytest.raises(
        NotInstalledError, match=r"not installed here ; run `pip download --no-deps no_such_package==1.0`"
    ):
        source("no_such_package", None, "1.0")
