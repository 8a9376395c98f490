"""Every exception slotgrad raises.  Imports nothing.

    SlotgradError
      UsageError                 the caller can mend it; also a built-in type, as noted
        ShapeError               ValueError    shapes that do not fit
        DTypeError               TypeError     unknown dtype, or one the operation does not take
        BoundsError              IndexError    an index or axis outside the tensor
        MatrixError              ValueError    a matrix that is singular, not positive definite ...
        OptionError              ValueError    an option with an impossible value
        GradientError            RuntimeError  a gradient that does not exist
          FreedGraphError                      backward a second time
          ChangedValueError                    a value backward needs was changed in place
        CaptureError             RuntimeError  a value was asked for while there is none yet
        StateError               KeyError      a state dict that does not fit its module
        FileError                OSError       a file that is missing, truncated or not ours
      InternalError              a fault of slotgrad itself; please report it

A message says what was got, what was expected and what to do.
"""

import os
import sys
from types import FrameType


class SlotgradError(Exception):
    """Base of every exception that slotgrad raises."""


class UsageError(SlotgradError):
    """The call cannot be carried out as it stands; the message says what to change."""


class ShapeError(UsageError, ValueError):
    """Shapes that do not fit each other or the operation."""


class DTypeError(UsageError, TypeError):
    """An unknown dtype, or a dtype that the operation does not take."""


class BoundsError(UsageError, IndexError):
    """An index or axis that lies outside the tensor."""


class MatrixError(UsageError, ValueError):
    """A matrix without the property the operation needs: regular, positive definite, ..."""


class OptionError(UsageError, ValueError):
    """An option with a value that makes no sense, such as a NaN learning rate."""


class GradientError(UsageError, RuntimeError):
    """A gradient was asked for that does not exist."""


class FreedGraphError(GradientError):
    """Backward needs a part of the graph that an earlier backward freed."""


class ChangedValueError(GradientError):
    """Backward needs a value that was changed in place after it had been used."""


class CaptureError(UsageError, RuntimeError):
    """A function being captured asked for a value that does not exist yet."""


class StateError(UsageError, KeyError):
    """A state dict whose keys or shapes do not fit the module."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class FileError(UsageError, OSError):
    """A file that is missing, truncated or not in the expected format."""


class InternalError(SlotgradError):
    """A fault in slotgrad itself.  Please report it with the program that caused it."""


_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class _Ours(dict[str, bool]):
    """Whether a file belongs to this package, remembered: every tracked operation asks."""

    def __missing__(self, filename: str) -> bool:
        ours = self[filename] = filename.startswith(_PACKAGE)
        return ours


_ours = _Ours()


def user_site(ours: int = 1) -> tuple | None:
    """Where the user's code called slotgrad: (code object, instruction), cheap to take.

    ours   how many calls from here outwards are known to be slotgrad's and need no look
    """
    try:
        frame: FrameType | None = sys._getframe(ours + 1)
    except ValueError:  # called by no Python code
        return None
    while frame is not None:
        code = frame.f_code
        if not _ours[code.co_filename]:
            return code, frame.f_lasti
        frame = frame.f_back
    return None


def describe_site(site: tuple | None) -> str:
    """`file.py:12 in train` for a site taken by `user_site`."""
    if site is None:
        return "an unknown place"
    code, instruction = site
    line = code.co_firstlineno
    for start, end, at in code.co_lines():
        if start <= instruction < end and at is not None:
            line = at
    return f"{code.co_filename}:{line} in {code.co_name}"
