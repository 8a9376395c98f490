"""Data for training: sets that come with installed packages, and batches.

>>> import slotgrad as sg
>>> [len(x) for (x,) in sg.data.batches(sg.arange(5), batch_size=2)]
[2, 2, 1]
"""

from .batches import batches as batches, split as split
from .digits import (
    PIXELS as PIXELS,
    SIDE as SIDE,
    digit_from_image as digit_from_image,
    digits as digits,
)
