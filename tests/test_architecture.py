"""Who imports whom: floor <- mathematics <- back end <- faces, and nothing loads by accident."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import slotgrad
from slotgrad.runtime.sources import PARTS

ROOT = Path(slotgrad.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

LAYERS = [
    {"errors", "config", "dtypes", "namespace", "memory", "tree", "tensor", "graph"},
    {"ops", "autodiff"},
    {"passes", "kernel", "targets", "runtime", "capture", "inspection", "reads"},
    {
        "arguments",
        "mapping",
        "compile",
        "nn",
        "optim",
        "data",
        "io",
        "export",
        "viz",
        "scalar",
        "micrograd",
        "cli",
        "__main__",
        "demo",
        "word2vec",
    },
    {"__init__"},
]
# inside a layer: what a package may not import
FORBIDDEN = [("ops", "autodiff"), ("graph.node", "tensor"), ("nn", "optim"), ("nn", "io")]
# load LLVM, or write its text, so they are imported when something is compiled
LATE = {"runtime.program", "runtime.plan", "runtime.profile", "targets.llvm"}
HEAVY = ("llvmlite", "typer", "rich", "matplotlib", "scipy", "sklearn", "PIL")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(p for p in parts if p != "__init__") or "__init__"


def imports_of(path: Path) -> set[str]:
    """The slotgrad modules that a file imports when it is loaded, relative to the package."""
    found = set()
    package = list(path.relative_to(ROOT).parent.parts)
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level or id(node) in typing_only:
            continue
        base = package[: len(package) - (node.level - 1)]
        if node.module:
            found.add(".".join([*base, *node.module.split(".")]))
        else:
            found |= {".".join([*base, alias.name]) for alias in node.names}
    return found


def layer_of(module: str) -> int:
    top = module.split(".")[0]
    return next(i for i, names in enumerate(LAYERS) if top in names)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_downwards(path):
    importer = module_of(path)
    for imported in imports_of(path):
        assert layer_of(imported) <= layer_of(importer), f"{importer} imports {imported}"
        for low, high in FORBIDDEN:
            wrong = importer.startswith(low) and imported.startswith(high)
            assert not wrong, f"{importer} imports {imported}"


def test_no_import_cycle():
    """Imports of single files form no cycle, so that no order of loading matters."""
    known = {module_of(p) for p in FILES}
    uses = {module_of(p): imports_of(p) & known for p in FILES}
    done: set[str] = set()
    while ready := {m for m in uses if m not in done and uses[m] - {m} <= done}:
        done |= ready
    assert not set(uses) - done


def test_the_digest_of_sources_covers_what_writes_text():
    uses = {module_of(p): imports_of(p) for p in FILES}
    reached, new = set(), {"targets.llvm", "runtime.profile", "runtime.entry"}
    while new:
        reached |= new
        new = {i for m in new for i in uses[m] & set(uses)} - reached
    packages = {m.rpartition(".")[0] for m in reached}
    assert packages <= set(PARTS)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_own_modules_are_imported_at_the_top(path):
    tree = ast.parse(path.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    for function in functions:
        for node in ast.walk(function):
            own = isinstance(node, ast.ImportFrom) and node.level > 0
            if own and node.module in LATE:
                continue
            assert not own, f"{path.name}:{node.lineno} imports inside {function.name}"


def test_import_loads_nothing_heavy():
    code = "import sys, slotgrad; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not set(HEAVY) & set(loaded.stdout.split())
