"""Files: safetensors, written as a whole or not at all.  May import the floor.

`sg.save` and `sg.load` are `slotgrad.io.save` and `slotgrad.io.load`.
"""

from .checkpoint import (
    load as load,
    read_metadata as read_metadata,
    save as save,
)
