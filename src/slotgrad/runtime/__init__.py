"""Machine code at run time: what the processor offers, text to code, objects on disk.

Loaded only when something is compiled, since it needs llvmlite.  May import the floor.
"""
