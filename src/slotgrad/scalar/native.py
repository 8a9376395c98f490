"""`Tape` and `Recorded`: native code where there is some for this interpreter, else Python.

Both record the same columns.  Loads LLVM.  May import scalar.tape, scalar.recorded and
runtime.recorder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..runtime.recorder import compact as _compact, native_recorded, native_tape
from .recorded import PythonRecorded
from .tape import MOST_NUMBERS, PythonTape

if TYPE_CHECKING:
    Tape = PythonTape
    Recorded = PythonRecorded
else:
    Tape = native_tape(PythonTape, MOST_NUMBERS) or PythonTape
    Recorded = native_recorded(PythonRecorded) or PythonRecorded
    if Recorded is PythonRecorded:  # objects of the one need tapes of the other
        Tape = PythonTape


def compact(cls: Any) -> Any:
    """The class, with smaller objects where it derives from a native one."""
    return _compact(cls)
