"""The listing in docs/inside.md: one example through graph, kernels, slots, LLVM text, assembly.

It is made for a fixed machine, so that everybody sees the same; `python tests/test_inside.py`
writes it anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import llvmlite.binding
import numpy as np
import pytest

import slotgrad as sg
from slotgrad.kernel.form import calls
from slotgrad.runtime.host import Host
from slotgrad.runtime.llvm import assembly
from slotgrad.targets.llvm import Writer

PAGE = Path(__file__).parents[1] / "docs" / "inside.md"
HASWELL = Host("haswell", "+avx2,+fma", 32, has_fma=True, triple="x86_64-unknown-linux-gnu")
BLOCK = r"(<!-- listing: {} -->\n```\w*\n)(.*?)(```)"


def example(x, w):
    return (x * w + 1).sum(axis=1)


def listings() -> dict[str, str]:
    """The texts of the blocks, by name."""
    f = sg.compile(example)
    f(np.ones((3, 20), np.float32), np.ones(20, np.float32))
    made, _ = calls(f._inspected().program.kernels.statements)
    text = "\n".join(Writer(made, HASWELL, 1).program(1))
    return {
        "slots": f.code,
        "kernels": f.kernels,
        "llvm": text.strip(),
        "assembly": readable(assembly(text, HASWELL)),
    }


def readable(assembly: str) -> str:
    """The instructions and labels of the kernel, without directives."""
    body = re.sub(r"(?s).*?^kernel0\.\w+:", "kernel0:", assembly, count=1, flags=re.MULTILINE)
    body = body.partition(".Lfunc_end")[0]
    lines = [line.split("#")[0].rstrip().replace("\t", "    ") for line in body.splitlines()]
    return "\n".join(x for x in lines if x and not re.match(r"\s+\.", x))


def version() -> str:
    return f"LLVM {llvmlite.binding.llvm_version_info[0]}"


@pytest.mark.parametrize("name", ["slots", "kernels", "llvm", "assembly"])
def test_the_listing_is_what_the_compiler_makes(name):
    page = PAGE.read_text()
    found = re.search(BLOCK.format(name), page, re.DOTALL)
    assert found is not None, f"docs/inside.md has no listing {name}"
    if name == "assembly" and f"of {version()}" not in page:
        assert "vmulps" in listings()[name]  # another LLVM chooses other instructions
    else:
        assert found[2] == listings()[name] + "\n"


def write() -> None:
    page = PAGE.read_text()
    for name, text in listings().items():
        pattern = re.compile(BLOCK.format(name), re.DOTALL)
        page = pattern.sub(lambda m, text=text: m[1] + text + "\n" + m[3], page)
    PAGE.write_text(re.sub(r"of LLVM \d+", f"of {version()}", page))


if __name__ == "__main__":
    write()
