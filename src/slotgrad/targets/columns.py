"""LLVM text over columns: loads, stores and loops in short.

In the text, `%x = i32 %column[%i]` loads an element and `%column[%i] = i32 %x` stores one.
May import nothing of the package.
"""

from __future__ import annotations

import re

_LOAD = re.compile(r"^  (%[\w.]+) = (\w+) (%[\w.]+)\[([%\w.]+)\]$", re.MULTILINE)
_STORE = re.compile(r"^  (%[\w.]+)\[([%\w.]+)\] = (\w+) ([%\w.]+)$", re.MULTILINE)


def expanded(text: str) -> str:
    """The text with its loads and stores written out."""
    text = _LOAD.sub(r"  \1.at = getelementptr \2, ptr \3, i64 \4\n  \1 = load \2, ptr \1.at", text)
    count = 0

    def stored(match: re.Match) -> str:
        nonlocal count
        count += 1
        column, i, kind, x = match.groups()
        at = f"{column}.to{count}"
        return f"  {at} = getelementptr {kind}, ptr {column}, i64 {i}\n  store {kind} {x}, ptr {at}"

    return _STORE.sub(stored, text)


def loop(name: str, arguments: str, body: str, down: bool = False, more: str = "") -> str:
    """A function whose body runs for i = 0 ... n - 1, or the other way round.

    body  ends by branching to %next; `more` are the blocks behind the loop's end, which returns
    """
    if down:
        head = (
            "  %j = phi i64 [%n, %entry], [%i, %next]\n  %left = icmp sgt i64 %j, 0\n"
            "  br i1 %left, label %body, label %end\nbody:\n  %i = sub i64 %j, 1"
        )
        tail = "  br label %head"
    else:
        head = (
            "  %i = phi i64 [0, %entry], [%i.next, %next]\n  %left = icmp slt i64 %i, %n\n"
            "  br i1 %left, label %body, label %end\nbody:"
        )
        tail = "  %i.next = add i64 %i, 1\n  br label %head"
    kind = "i64" if more else "void"
    return f"""
define {kind} @{name}({arguments}, i64 %n) nounwind {{
entry:
  br label %head
head:
{head}
{body}
next:
{tail}
end:
{more or "  ret void"}
}}
"""
