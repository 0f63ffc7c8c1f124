"""The floors of ARCHITECTURE.md: no module imports what is above it, and nothing imports in a circle.

Every import statement counts: inside functions, and those for types alone. `python tests/test_architecture.py` draws
the picture of the floors.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minibert"
LONGEST = 520  # lines of a module; a longer one needs a reason in its head


def floors() -> list[list[str]]:
    """The units of each floor, from the bottom up, as ARCHITECTURE.md lists them."""
    listed = re.search(r"```floors\n(.*?)```", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.S)[1]
    return [line.split() for line in reversed(listed.split("\n")) if line.strip()]


def holds() -> dict[str, str]:
    """Unit -> what it holds, as the table of ARCHITECTURE.md says it."""
    found = {}
    table = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|$", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.M)
    for units, what in table:
        parts = [what] + [""] * units.count(",") if what.count(";") < units.count(",") else what.split("; ", 1)
        found |= dict(zip(re.findall(r"`(\w+)`", units), parts, strict=False))
    return found


def modules(package: Path) -> dict[str, Path]:
    """Dotted name -> file, of every module of the package."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[tuple[str, int]]:
    """The modules of the package that a module imports, anywhere in its text, with the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            inside = [f"{node.module}.{one.name}" for one in node.names]
            targets = [one if one in known else node.module for one in inside]
        else:
            continue
        for target in targets:
            if target in known and target != name:
                yield target, node.lineno


def unit(name: str) -> str:
    """minibert.training.loop -> training; the package itself, which gives out names lazily, is "" (above all)."""
    return [*name.split("."), ""][1]


def faults(package: Path) -> list[str]:
    """What is wrong with the imports of a package that is laid out as minibert is, in sentences."""
    known = modules(package)
    level = {each: height for height, row in enumerate(floors()) for each in row}
    found = [f"{name} is on no floor of ARCHITECTURE.md" for name in known if unit(name) not in {*level, ""}]
    edges: dict[str, set[str]] = {}
    for name, path in known.items():
        for target, line in imports(name, path, known):
            edges.setdefault(name, set()).add(target)
            here, there = unit(name), unit(target)
            if here == there or here not in level or there not in level:
                continue
            if level[there] > level[here]:
                found.append(f"{path.name}:{line}: {name} imports {target}, which is above it")
            elif level[there] == level[here]:
                found.append(f"{path.name}:{line}: {name} imports {target}, a separate unit of the same floor")
    return found + [f"a circle: {' -> '.join(circle)}" for circle in circles(edges)]


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """One walk along imports that comes back to its start, for each module that can be reached from itself."""
    found: list[list[str]] = []
    seen: set[str] = set()
    for start in sorted(edges):
        if start in seen:
            continue
        trails = [[start]]
        reached = {start}
        while trails:
            trail = trails.pop(0)
            for target in sorted(edges.get(trail[-1], ())):
                if target == start:
                    found.append([*trail, start])
                    seen |= set(trail)
                    trails = []
                    break
                if target not in reached:
                    reached.add(target)
                    trails.append([*trail, target])
    return found


def test_no_module_imports_what_is_above_it_and_there_are_no_circles():
    assert faults(PACKAGE) == []


def test_every_unit_of_the_package_is_on_exactly_one_floor():
    listed = [each for row in floors() for each in row]
    assert sorted(listed) == sorted({unit(name) for name in modules(PACKAGE)} - {""})


@pytest.fixture
def house(tmp_path) -> Path:
    """A small package with the floors of minibert."""
    package = tmp_path / "minibert"
    for name, text in {
        "__init__.py": "",
        "errors.py": "",
        "attention.py": "from minibert.errors import MinibertError\n",
        "layers.py": "",
        "claims/__init__.py": "",
        "claims/one.py": "from minibert.attention import attention\n",
        "claims/two.py": "",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    return package


def test_a_sound_house_has_no_faults(house):
    assert faults(house) == []


@pytest.mark.parametrize(
    ("file", "planted", "said"),
    [
        ("attention.py", "from minibert.claims.one import x", "which is above it"),
        ("attention.py", "from minibert.claims import one", "which is above it"),
        ("attention.py", "import minibert.claims.one", "which is above it"),
        ("attention.py", "def f():\n    from minibert.claims import one", "which is above it"),
        (
            "attention.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from minibert.claims import one",
            "which is above it",
        ),
        ("attention.py", "from minibert.layers import gelu", "a separate unit of the same floor"),
        ("claims/two.py", "from minibert.claims.one import y\nfrom minibert.claims import two", None),
        ("claims/__init__.py", "from minibert.claims.one import y", None),
    ],
)
def test_a_planted_import_is_noticed(house, file, planted, said):
    (house / file).write_text(planted + "\n")
    found = faults(house)
    assert (not found) if said is None else any(said in fault for fault in found)


def test_a_circle_within_a_floor_is_noticed(house):
    (house / "claims" / "one.py").write_text("from minibert.claims.two import x\n")
    (house / "claims" / "two.py").write_text("def f() -> None:\n    import minibert.claims.one\n")
    assert any("minibert.claims.one -> minibert.claims.two -> minibert.claims.one" in one for one in faults(house))


def test_a_new_module_must_be_put_on_a_floor(house):
    (house / "stray.py").write_text("")
    assert faults(house) == ["minibert.stray is on no floor of ARCHITECTURE.md"]


def test_no_module_is_long_without_a_reason():
    """The reason is a line of the module's docstring that begins with "Long:"."""
    too_long = {}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        lines = text.count("\n")
        if lines > LONGEST and "\nLong: " not in (ast.get_docstring(ast.parse(text)) or ""):
            too_long[str(path.relative_to(ROOT))] = lines
    assert too_long == {}


def test_nothing_in_the_package_names_the_reference_library_as_an_import():
    for name, path in modules(PACKAGE).items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [one.name for one in node.names] + [getattr(node, "module", None) or ""]
                assert not any(each.split(".")[0] == "transformers" for each in names), name


def test_every_unit_is_explained():
    assert sorted(holds()) == sorted({each for row in floors() for each in row} - {"__main__"})


def test_requirements_say_what_every_package_is_for():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    used = project[project.index("dependencies = [") : project.index("[project.scripts]")]
    names = {re.match(r"[\w-]+", each)[0] for each in re.findall(r'"([^"]+)"', used)}
    names -= {"huggingface_hub", "onnx", "onnxruntime", "onnxscript"}  # the extras that requirements.txt leaves out
    explained = re.findall(r"^#   ([\w-]+) +\S", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.M)
    assert sorted(explained) == sorted(names)


if __name__ == "__main__":
    from minibert import plots

    told = holds()
    rows = [{each: told.get(each, "starts the command line").replace("`", "") for each in row} for row in floors()]
    print(plots.save(plots.floors(rows[::-1], "The floors of minibert"), ROOT / "figures" / "architecture.png"))
