"""The example of the README prints the numbers that stand beside it."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_example_prints_what_it_says():
    code = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL).group(1)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    expected = re.findall(r"^print.*?# (.*)$", code, re.MULTILINE)
    assert printed.getvalue().splitlines() == [line.strip() for line in expected]
    assert len([line for line in code.splitlines() if line.strip()]) <= 13
