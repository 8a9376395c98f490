"""The native way into a compiled function: one function for all of them, led by a plan.

CPython calls `entry` with the callable, its arguments and their number.  It finds a plan in the
callable, an array of words (see PLAN) that says what the arguments must be, what must hold outside,
where addresses go in the program's table, what to run and how results are made.  If anything is
not so, it tries the next plan, and after the last one calls `__call__`, which does whatever is to
be done in Python, raises the error, or makes another plan.  Nothing is changed before all of a
plan holds but the memory of the plan and the inputs in the program's table, which nobody else
reads then.

The text holds no address, so its object is cached as any other.  In it, `%x = ptr %y at NAME` loads
what stands at an offset of that name, in a plan, an instruction or an object.  May import the
floor and the rest of runtime.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from functools import cache

from ..errors import InternalError
from .launch import LAUNCH, RESULTS
from .layout import Layout, layout
from .llvm import compiled
from .objects import OBJECTS
from .program import BUSY, EMPTY, WANTED
from .sources import sources

# the words with which a plan begins
PLAN = (
    "NEXT",  # the plan to try if this one does not fit, or 0
    "SLOW",  # the Python function that takes all other calls
    "CHECKS",  # the instructions
    "MODE",  # of the thread
    "THREADS",  # config.unusual_threads
    "COUNT",  # of positional arguments
    "KEYWORDS",  # number of keyword arguments
    "OPENED",  # room for what is in trees of arguments, behind as much room as those need
    "WORDS",  # who may run the program
    "CALLS",  # the counter of calls
    "OWNER",  # the Plan, which owns all this memory
    "RUN",  # what does the calls of the program
    "FIRST",  # of these
    "RELEASE",  # whether other Python threads run meanwhile
    "FAIL",  # what raises the error of a failed run
    "HELD",  # arrays that must outlive the run
    "HOLDING",  # their number
    "RESULT",  # how results are made from values, or 0: they are there already
    "VALUES",  # results that are numbers, a word for each
    "VALUE_COUNT",
    "KEEP",  # a list for the last result, if it can be used again once nobody has it
    "LAST",  # the result in it, or 0
    "READY",  # a list with one tuple: the next result, then its arrays
    "PREPARE",  # the Python function that makes the next such tuple
    "OUTPUTS",  # where in the table the addresses of these arrays go; ends with 0
    "FLOAT",
    "INT",
    "FALSE",
    "TRUE",
    "NONE",
    "ARRAY",
    "TENSOR",
    "VERTEX",
)

# the instructions that check, and what follows each
CHECKS = (
    "DONE",
    "NUMBER",  # argument, address: a float goes there
    "INTEGER",  # argument, address: an int goes there
    "WHOLE",  # argument, address: an int goes there as a float
    "TRUTH",  # argument, address: a bool goes there
    "SAME",  # argument, object: it is that
    "IN_TUPLE",  # argument, type, number of its first item, their count: these count as arguments
    "IN_LIST",  # the same
    "IN_DICT",  # the same, keys
    "NAME",  # keyword number, object: its name is that
    "WORD",  # address, value: this word stands there
    "GLOBAL",  # dict, name, object: what the name stands for
    "INPUT",  # argument, place in the table, number among the held, requires_grad, then as below
    "STATE",  # tensor, its array, whether it requires gradients, place in the table, then as below
    "UNTAPED",  # tensor: it is no view, and nobody but itself has its node
    "APART",  # address of an input's address, its bytes, begin and end of memory that is written
)
# what follows about an array: dtype, flags it must have, number of axes, sizes

_TEXT = """
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
declare ptr @PyDict_GetItemWithError(ptr, ptr)
declare ptr @PyMethod_New(ptr, ptr)

define ptr @entry(ptr %self, ptr %args, i64 %flagged, ptr %keywords) {
begin:
  %count = and i64 %flagged, 9223372036854775807
  %first = ptr %self at OWN_PLAN
  br label %try
try:
  %plan = phi ptr [%first, %begin], [%next, %other]
  %holds = call i1 @holds(ptr %plan, ptr %args, i64 %count, ptr %keywords)
  br i1 %holds, label %fast, label %other
other:
  %next = ptr %plan at NEXT
  %more = icmp ne ptr %next, null
  br i1 %more, label %try, label %python
fast:
  %result = call ptr @launch(ptr %plan)
  ret ptr %result
python:
  %function = ptr %first at SLOW
  %method = call ptr @PyMethod_New(ptr %function, ptr %self)
  %made = icmp ne ptr %method, null
  br i1 %made, label %slow, label %failed
slow:
  %answer = call ptr @PyObject_Vectorcall(ptr %method, ptr %args, i64 %flagged, ptr %keywords)
  call void @Py_DecRef(ptr %method)
  ret ptr %answer
failed:
  ret ptr null
}

; -- whether a plan is right for a call -----------------------------------------------------------

define internal i64 @mode(ptr %threads) {
  %me = call i64 @PyThread_get_thread_ident()
  %number = i64 %threads at 0
  %which = i64 %threads at 8
  %its = i64 %threads at 16
  %one = icmp eq i64 %number, 1
  %mine = icmp eq i64 %which, %me
  %known = select i1 %mine, i64 %its, i64 0
  %mode = select i1 %one, i64 %known, i64 -1
  ret i64 %mode
}

define internal i1 @holds(ptr %plan, ptr %args, i64 %count, ptr %keywords) "no-jump-tables"="true" {
begin:
  %overflow = alloca i32
  %words = ptr %plan at WORDS
  %busy = i64 %words at BUSY
  %wanted = i64 %words at WANTED
  %empty = i64 %words at EMPTY
  %occupied = or i64 %busy, %wanted
  %hindered = or i64 %occupied, %empty
  %free = icmp eq i64 %hindered, 0
  %expected = i64 %plan at COUNT
  %as_many = icmp eq i64 %count, %expected
  %ok = and i1 %free, %as_many
  br i1 %ok, label %called, label %no
called:
  %named = icmp ne ptr %keywords, null
  br i1 %named, label %measure, label %know
measure:
  %length = i64 %keywords at length
  br label %know
know:
  %names = phi i64 [0, %called], [%length, %measure]
  %its_names = i64 %plan at KEYWORDS
  %as_named = icmp eq i64 %names, %its_names
  %given = add i64 %count, %names
  %room = ptr %plan at OPENED
  br i1 %as_named, label %thread, label %no
thread:
  %threads = ptr %plan at THREADS
  %unusual = i64 %threads at 0
  %usual = icmp eq i64 %unusual, 0
  br i1 %usual, label %compare, label %ask
ask:
  %told = call i64 @mode(ptr %threads)
  br label %compare
compare:
  %mode = phi i64 [0, %thread], [%told, %ask]
  %its_mode = i64 %plan at MODE
  %in_mode = icmp eq i64 %mode, %its_mode
  %false = ptr %plan at FALSE
  %start = ptr %plan at CHECKS
  br i1 %in_mode, label %check, label %no
check:
  %p = phi ptr [%start, %compare], [%p.next, %judge]
  %op = i64 %p at 0
  %a = i64 %p at 8
  %a.at = inttoptr i64 %a to ptr
  %b = ptr %p at 16
  switch i64 %op, label %argument [
    i64 DONE, label %yes
    i64 NAME, label %name
    i64 WORD, label %word
    i64 GLOBAL, label %global
    i64 STATE, label %state
    i64 UNTAPED, label %untaped
    i64 APART, label %apart
  ]
judge:
  %good = phi i1 [true, %number.put], [%in_range, %int.put], [%is_bool, %truth],
    [%is_same, %same], [%is_opened, %tree], [%is_name, %name], [%is_word, %word],
    [%is_thing, %global], [%x.fits, %input.put], [%s.fits, %state.look],
    [%untaken, %untaped.node], [%distant, %apart]
  %size = phi i64 [3, %number.put], [3, %int.put], [3, %truth], [3, %same], [%tree.size, %tree],
    [3, %name], [3, %word], [4, %global], [%x.size, %input.put], [%s.size, %state.look],
    [2, %untaped.node], [5, %apart]
  %p.next = getelementptr i64, ptr %p, i64 %size
  br i1 %good, label %check, label %no
argument:
  %outer = icmp ult i64 %a, %given
  %among = select i1 %outer, ptr %args, ptr %room
  %x.at = getelementptr ptr, ptr %among, i64 %a
  %x = load ptr, ptr %x.at
  %kind = ptr %x at kind
  switch i64 %op, label %no [
    i64 NUMBER, label %number
    i64 INTEGER, label %int
    i64 WHOLE, label %int
    i64 TRUTH, label %truth
    i64 SAME, label %same
    i64 INPUT, label %input
    i64 IN_TUPLE, label %tree
    i64 IN_LIST, label %tree
    i64 IN_DICT, label %tree
  ]
number:
  %float = ptr %plan at FLOAT
  %is_float = icmp eq ptr %kind, %float
  br i1 %is_float, label %number.put, label %no
number.put:
  %x.number = i64 %x at number
  store i64 %x.number, ptr %b
  br label %judge
int:
  %integer = ptr %plan at INT
  %is_int = icmp eq ptr %kind, %integer
  br i1 %is_int, label %int.put, label %no
int.put:
  %x.int = call i64 @PyLong_AsLongLongAndOverflow(ptr %x, ptr %overflow)
  %over = load i32, ptr %overflow
  %in_range = icmp eq i32 %over, 0
  %x.float = sitofp i64 %x.int to double
  %x.bits = bitcast double %x.float to i64
  %is_whole = icmp eq i64 %op, WHOLE
  %x.word = select i1 %is_whole, i64 %x.bits, i64 %x.int
  store i64 %x.word, ptr %b
  br label %judge
truth:
  %true = ptr %plan at TRUE
  %is_true = icmp eq ptr %x, %true
  %is_false = icmp eq ptr %x, %false
  %is_bool = or i1 %is_true, %is_false
  %x.truth = zext i1 %is_true to i8
  store i8 %x.truth, ptr %b
  br label %judge
same:
  %is_same = icmp eq ptr %x, %b
  br label %judge
tree:
  %is_opened = call i1 @opened(ptr %x, ptr %p, ptr %room)
  %items = i64 %p at 32
  %is_dict = icmp eq i64 %op, IN_DICT
  %keys = select i1 %is_dict, i64 %items, i64 0
  %tree.size = add i64 %keys, 5
  br label %judge
name:
  %names.at = getelementptr i8, ptr %keywords, i64 items
  %name.at = getelementptr ptr, ptr %names.at, i64 %a
  %keyword = load ptr, ptr %name.at
  %is_name = icmp eq ptr %keyword, %b
  br label %judge
word:
  %stands = load ptr, ptr %a.at
  %is_word = icmp eq ptr %stands, %b
  br label %judge
global:
  %thing = call ptr @PyDict_GetItemWithError(ptr %a.at, ptr %b)
  %seen = ptr %p at 24
  %is_thing = icmp eq ptr %thing, %seen
  br label %judge
input:
  %tensor = ptr %plan at TENSOR
  %is_tensor = icmp eq ptr %kind, %tensor
  br i1 %is_tensor, label %input.tensor, label %input.array
input.tensor:
  %x.tracked = ptr %p at 32
  %x.value = call ptr @value_of(ptr %x, ptr %plan, ptr %x.tracked)
  %x.there = icmp ne ptr %x.value, null
  br i1 %x.there, label %input.array, label %no
input.array:
  %x.array = phi ptr [%x, %input], [%x.value, %input.tensor]
  %x.wanted = getelementptr i64, ptr %p, i64 5
  %x.fits = call i1 @fits(ptr %x.array, ptr %plan, ptr %x.wanted)
  br i1 %x.fits, label %input.put, label %no
input.put:
  %x.data = ptr %x.array at data
  store ptr %x.data, ptr %b
  %held = ptr %plan at HELD
  %held.number = i64 %p at 24
  %held.at = getelementptr ptr, ptr %held, i64 %held.number
  store ptr %x.array, ptr %held.at
  %x.ndim = i64 %x.wanted at 16
  %x.size = add i64 %x.ndim, 8
  br label %judge
state:
  %s.tracked = ptr %p at 24
  %s.array = call ptr @value_of(ptr %a.at, ptr %plan, ptr %s.tracked)
  %s.same = icmp eq ptr %s.array, %b
  br i1 %s.same, label %state.data, label %no
state.data:
  %s.data = ptr %s.array at data
  %s.at = ptr %p at 32
  %s.entered = load ptr, ptr %s.at
  %s.stays = icmp eq ptr %s.data, %s.entered
  br i1 %s.stays, label %state.look, label %no
state.look:
  %s.wanted = getelementptr i64, ptr %p, i64 5
  %s.fits = call i1 @fits(ptr %s.array, ptr %plan, ptr %s.wanted)
  %s.ndim = i64 %s.wanted at 16
  %s.size = add i64 %s.ndim, 8
  br label %judge
untaped:
  %u.base = ptr %a.at at base
  %none = ptr %plan at NONE
  %u.whole = icmp eq ptr %u.base, %none
  br i1 %u.whole, label %untaped.node, label %no
untaped.node:
  %u.node = ptr %a.at at node
  %u.owners = load i32, ptr %u.node
  %untaken = icmp eq i32 %u.owners, 1
  br label %judge
apart:
  %from = load i64, ptr %a.at
  %bytes = ptrtoint ptr %b to i64
  %to = add i64 %from, %bytes
  %low = i64 %p at 24
  %high = i64 %p at 32
  %before = icmp ule i64 %to, %low
  %behind = icmp uge i64 %from, %high
  %distant = or i1 %before, %behind
  br label %judge
yes:
  ret i1 true
no:
  ret i1 false
}
"""

_AT = r"(?m)^  (%[\w.]+) = (\w+) (%[\w.]+) at (\w+)$"


@cache
def entry(offset: int) -> int:
    """The address of the function; plans are found `offset` bytes behind a callable's begin."""
    found = layout()
    if found is None:
        raise InternalError("compile: there is no native entry on this Python")
    known = sources()
    facts = None if known is None else repr(("entry", known, found, offset))
    return compiled(lambda: [_text(found, offset)], facts).address("entry")


def _text(found: Layout, offset: int) -> str:
    """The LLVM text for this layout."""
    words = {"BUSY": 8 * BUSY, "WANTED": 8 * WANTED, "EMPTY": 8 * EMPTY, "OWN_PLAN": offset}
    offsets = {name: 8 * i for i, name in enumerate(PLAN)} | words | asdict(found)

    def loaded(match: re.Match) -> str:
        name, type, base, at = match.groups()
        place = f"getelementptr i8, ptr {base}, i64 {offsets.get(at, at)}"
        return f"  {name}.from = {place}\n  {name} = load {type}, ptr {name}.from"

    text = re.sub(_AT, loaded, _TEXT + OBJECTS + LAUNCH)
    numbers = {name: i for names in (CHECKS, RESULTS) for i, name in enumerate(names)}
    places = {"items": found.items, "number": found.number}
    known = numbers | words | places
    return re.sub(r"(?<= )[A-Za-z_0-9]+(?=[,)\s])", lambda m: str(known.get(m[0], m[0])), text)
