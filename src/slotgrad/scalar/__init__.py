"""The scalar face: formulas of single numbers, recorded by operators, compiled to native code.

    tape        the columns that everything is recorded in
    recorded    operators and functions that record
    native      both in native code, where there is some
    variable    Variable
    group       VariableGroup
    storage     ValueStorage
    reference   ReferenceVariable
    columns     what a program computes, wherever its slots lie
    program     what runs a part of a tape, step by step
    tiers       what runs a step: straight code, array code, or the interpreter
    straight    native code without loops
    show        code and graphs to be read

Loads LLVM, so `slotgrad` imports it when a variable is asked for.  May import the floor, the
mathematics and the back end.
"""

from .reference import ReferenceVariable as ReferenceVariable
from .storage import ValueStorage as ValueStorage
from .variable import Variable as Variable
