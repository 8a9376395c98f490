"""The compiler's table of contents: what happens to a captured graph, in this order.

May import the floor and the passes.
"""

from __future__ import annotations

from collections.abc import Callable

from ..graph.region import Region, verify
from .inline import inline
from .lift_region import lift_region
from .share import share
from .simplify import simplify

Pass = Callable[[Region], Region]

PASSES: tuple[Pass, ...] = (
    inline,  # bodies of the user's operations, for the rest to work on
    simplify,  # algebra and constants; leaves equal nodes behind,
    share,  # which become one
    lift_region,  # many like operations on single numbers become array operations,
    share,  # among which are equal ones again; that can make neighbours cancel,
    simplify,  # so once more
)
# nodes that nobody needs are dropped by every pass, since a region is what its outputs reach


def optimize(region: Region, check: bool = False) -> Region:
    """The region after all passes; with `check`, verified after each."""
    for each in PASSES:
        region = each(region)
        if check:
            verify(region)
    return region
