"""How native code runs a program and makes the result of a call: the second half of the entry.

`launch` runs what a plan says (see `runtime/entry.py`) with its arrays held, and without the
interpreter's lock if that takes long.  Results come from numbers that the program left in the
plan, built as RESULTS say, or they are tensors that were made before and whose arrays the program
has filled.  Imports nothing.
"""

from __future__ import annotations

# the instructions that make a result from values, each with an operand
RESULTS = (
    "FLOAT64",  # value number, as the next three
    "FLOAT32",
    "INT64",
    "BOOL",
    "THING",  # an object, as it is
    "TUPLE",  # length; what makes its items follows
    "LIST",  # the same
    "APPLY",  # a Python function, to what follows
)

LAUNCH = """
declare ptr @PyFloat_FromDouble(double)
declare ptr @PyLong_FromLongLong(i64)
declare ptr @PyTuple_New(i64)
declare ptr @PyTuple_GetItem(ptr, i64)
declare ptr @PyList_New(i64)
declare i32 @PyList_SetItem(ptr, i64, ptr)
declare ptr @PyBool_FromLong(i64)
declare ptr @PyList_GetItem(ptr, i64)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare i64 @PyThread_get_thread_ident()

; -- running the program ---------------------------------------------------------------------------

define internal ptr @launch(ptr %plan) {
begin:
  %words = ptr %plan at WORDS
  %busy = getelementptr i8, ptr %words, i64 BUSY
  %me = call i64 @PyThread_get_thread_ident()
  store i64 %me, ptr %busy
  %owner = ptr %plan at OWNER
  call void @Py_IncRef(ptr %owner)
  %holding = i64 %plan at HOLDING
  %arrays = alloca ptr, i64 %holding
  %held = ptr %plan at HELD
  br label %hold
hold:
  %i = phi i64 [0, %begin], [%i.next, %hold.one]
  %i.left = icmp ult i64 %i, %holding
  br i1 %i.left, label %hold.one, label %go
hold.one:
  %held.at = getelementptr ptr, ptr %held, i64 %i
  %array = load ptr, ptr %held.at
  %array.at = getelementptr ptr, ptr %arrays, i64 %i
  store ptr %array, ptr %array.at
  call void @Py_IncRef(ptr %array)
  %i.next = add i64 %i, 1
  br label %hold
go:
  %calls = ptr %plan at CALLS
  %number = load i64, ptr %calls
  %one_more = add i64 %number, 1
  store i64 %one_more, ptr %calls
  %run = ptr %plan at RUN
  %first = ptr %plan at FIRST
  %release = i64 %plan at RELEASE
  %long = icmp ne i64 %release, 0
  br i1 %long, label %alone, label %locked
locked:
  %status.locked = call i32 %run(ptr %first)
  br label %ran
alone:
  %thread = call ptr @PyEval_SaveThread()
  %status.alone = call i32 %run(ptr %first)
  call void @PyEval_RestoreThread(ptr %thread)
  br label %ran
ran:
  %status = phi i32 [%status.locked, %locked], [%status.alone, %alone]
  %well = icmp eq i32 %status, 0
  br i1 %well, label %finish, label %failed
finish:
  %how = ptr %plan at RESULT
  %computed = icmp ne ptr %how, null
  br i1 %computed, label %numbers, label %tensors
numbers:
  %result.numbers = call ptr @from_values(ptr %plan, ptr %how, ptr %busy)
  br label %end
tensors:
  %result.tensors = call ptr @from_ready(ptr %plan, ptr %busy)
  br label %end
failed:
  store i64 0, ptr %busy
  %fail = ptr %plan at FAIL
  %result.failed = call ptr @PyObject_Vectorcall(ptr %fail, ptr null, i64 0, ptr null)
  br label %end
end:
  %result = phi ptr [%result.numbers, %numbers], [%result.tensors, %tensors],
    [%result.failed, %failed]
  br label %drop
drop:
  %j = phi i64 [0, %end], [%j.next, %drop.one]
  %j.left = icmp ult i64 %j, %holding
  br i1 %j.left, label %drop.one, label %done
drop.one:
  %dropped.at = getelementptr ptr, ptr %arrays, i64 %j
  %dropped = load ptr, ptr %dropped.at
  call void @Py_DecRef(ptr %dropped)
  %j.next = add i64 %j, 1
  br label %drop
done:
  call void @Py_DecRef(ptr %owner)
  ret ptr %result
}

; -- results ---------------------------------------------------------------------------------------

; Numbers are copied before the program is free again, since making a tuple may run Python code.
define internal ptr @from_values(ptr %plan, ptr %how, ptr %busy) {
begin:
  %count = i64 %plan at VALUE_COUNT
  %from = ptr %plan at VALUES
  %values = alloca i64, i64 %count
  %cursor = alloca ptr
  store ptr %how, ptr %cursor
  br label %copy
copy:
  %i = phi i64 [0, %begin], [%next, %one]
  %left = icmp ult i64 %i, %count
  br i1 %left, label %one, label %make
one:
  %from.at = getelementptr i64, ptr %from, i64 %i
  %value = load i64, ptr %from.at
  %to.at = getelementptr i64, ptr %values, i64 %i
  store i64 %value, ptr %to.at
  %next = add i64 %i, 1
  br label %copy
make:
  store i64 0, ptr %busy
  %last = ptr %plan at LAST
  %there = icmp ne ptr %last, null
  br i1 %there, label %look, label %new
look:
  %again = call i1 @refill(ptr %last, ptr %cursor, ptr %values)
  br i1 %again, label %same, label %new
same:
  call void @Py_IncRef(ptr %last)
  ret ptr %last
new:
  store ptr %how, ptr %cursor
  %result = call ptr @build(ptr %cursor, ptr %values)
  %made = icmp ne ptr %result, null
  %keep = ptr %plan at KEEP
  %may_keep = icmp ne ptr %keep, null
  %kept = and i1 %made, %may_keep
  br i1 %kept, label %put, label %end
put:
  call void @Py_IncRef(ptr %result)
  store ptr %result, ptr %last.from
  %done = call i32 @PyList_SetItem(ptr %keep, i64 0, ptr %result)
  br label %end
end:
  ret ptr %result
}

; The last result, if nobody but the plan has it or any part of it any more, made into the next one:
; then nothing need be allocated.
define internal i1 @refill(ptr %object, ptr %cursor, ptr %values) {
begin:
  %p = load ptr, ptr %cursor
  %next = getelementptr i64, ptr %p, i64 2
  store ptr %next, ptr %cursor
  %op = i64 %p at 0
  %a = i64 %p at 8
  %is_thing = icmp eq i64 %op, THING
  br i1 %is_thing, label %yes, label %owned
owned:
  %owners = load i32, ptr %object
  %ours = icmp eq i32 %owners, 1
  br i1 %ours, label %kind, label %no
kind:
  %is_float = icmp eq i64 %op, FLOAT64
  br i1 %is_float, label %number, label %items
number:
  %at = getelementptr i64, ptr %values, i64 %a
  %x = load i64, ptr %at
  %into = getelementptr i8, ptr %object, i64 number
  store i64 %x, ptr %into
  ret i1 true
items:
  %items.at = getelementptr i8, ptr %object, i64 items
  br label %item
item:
  %i = phi i64 [0, %items], [%i.next, %one]
  %left = icmp ult i64 %i, %a
  br i1 %left, label %one, label %yes
one:
  %item.at = getelementptr ptr, ptr %items.at, i64 %i
  %part = load ptr, ptr %item.at
  %well = call i1 @refill(ptr %part, ptr %cursor, ptr %values)
  %i.next = add i64 %i, 1
  br i1 %well, label %item, label %no
yes:
  ret i1 true
no:
  ret i1 false
}

define internal ptr @build(ptr %cursor, ptr %values) "no-jump-tables"="true" {
begin:
  %given = alloca ptr
  %p = load ptr, ptr %cursor
  %next = getelementptr i64, ptr %p, i64 2
  store ptr %next, ptr %cursor
  %op = i64 %p at 0
  %a = i64 %p at 8
  %object = ptr %p at 8
  %at = getelementptr i64, ptr %values, i64 %a
  switch i64 %op, label %apply [
    i64 FLOAT64, label %float64
    i64 FLOAT32, label %float32
    i64 INT64, label %int64
    i64 BOOL, label %bool
    i64 THING, label %thing
    i64 TUPLE, label %tuple
    i64 LIST, label %list
  ]
float64:
  %x64 = load double, ptr %at
  %made.float64 = call ptr @PyFloat_FromDouble(double %x64)
  ret ptr %made.float64
float32:
  %x32 = load float, ptr %at
  %x32.wide = fpext float %x32 to double
  %made.float32 = call ptr @PyFloat_FromDouble(double %x32.wide)
  ret ptr %made.float32
int64:
  %n = load i64, ptr %at
  %made.int = call ptr @PyLong_FromLongLong(i64 %n)
  ret ptr %made.int
bool:
  %t = load i8, ptr %at
  %t.wide = zext i8 %t to i64
  %made.bool = call ptr @PyBool_FromLong(i64 %t.wide)
  ret ptr %made.bool
thing:
  call void @Py_IncRef(ptr %object)
  ret ptr %object
tuple:
  %made.tuple = call ptr @PyTuple_New(i64 %a)
  br label %fill
list:
  %made.list = call ptr @PyList_New(i64 %a)
  br label %fill
fill:
  %made = phi ptr [%made.tuple, %tuple], [%made.list, %list]
  %there = icmp ne ptr %made, null
  br i1 %there, label %items, label %no
items:
  %i = phi i64 [0, %fill], [%i.next, %put.tuple], [%i.next, %put.list]
  %left = icmp ult i64 %i, %a
  br i1 %left, label %item, label %filled
item:
  %q = load ptr, ptr %cursor
  %q.op = i64 %q at 0
  %q.float = icmp eq i64 %q.op, FLOAT64
  br i1 %q.float, label %item.float, label %item.other
item.float:  ; the most usual one, without the cost of a call of build
  %q.value = i64 %q at 8
  %q.at = getelementptr i64, ptr %values, i64 %q.value
  %q.x = load double, ptr %q.at
  %q.next = getelementptr i64, ptr %q, i64 2
  store ptr %q.next, ptr %cursor
  %child.float = call ptr @PyFloat_FromDouble(double %q.x)
  br label %child.made
item.other:
  %child.other = call ptr @build(ptr %cursor, ptr %values)
  br label %child.made
child.made:
  %child = phi ptr [%child.float, %item.float], [%child.other, %item.other]
  %born = icmp ne ptr %child, null
  %i.next = add i64 %i, 1
  br i1 %born, label %put, label %undo
put:
  %is_tuple = icmp eq i64 %op, TUPLE
  br i1 %is_tuple, label %put.tuple, label %put.list
put.tuple:
  %in_tuple.items = getelementptr i8, ptr %made, i64 items
  %in_tuple.at = getelementptr ptr, ptr %in_tuple.items, i64 %i
  store ptr %child, ptr %in_tuple.at
  br label %items
put.list:
  %in_list = call i32 @PyList_SetItem(ptr %made, i64 %i, ptr %child)
  br label %items
filled:
  ret ptr %made
undo:
  call void @Py_DecRef(ptr %made)
  ret ptr null
apply:
  %leaves = call ptr @build(ptr %cursor, ptr %values)
  %some = icmp ne ptr %leaves, null
  br i1 %some, label %call, label %no
call:
  store ptr %leaves, ptr %given
  %applied = call ptr @PyObject_Vectorcall(ptr %object, ptr %given, i64 1, ptr null)
  call void @Py_DecRef(ptr %leaves)
  ret ptr %applied
no:
  ret ptr null
}

; The next result is prepared after this one is taken.  Python code does it, which may call and
; prepare as well; then what was made here is not needed.
define internal ptr @from_ready(ptr %plan, ptr %busy) {
begin:
  %words = ptr %plan at WORDS
  %ready = ptr %plan at READY
  %taken = call ptr @PyList_GetItem(ptr %ready, i64 0)
  %result = call ptr @PyTuple_GetItem(ptr %taken, i64 0)
  call void @Py_IncRef(ptr %result)
  %empty = getelementptr i8, ptr %words, i64 EMPTY
  store i64 1, ptr %empty
  store i64 0, ptr %busy
  %prepare = ptr %plan at PREPARE
  %new = call ptr @PyObject_Vectorcall(ptr %prepare, ptr null, i64 0, ptr null)
  %there = icmp ne ptr %new, null
  br i1 %there, label %look, label %lost
look:
  %running = i64 %words at BUSY
  %wanted = i64 %words at WANTED
  %still = i64 %words at EMPTY
  %filled = xor i64 %still, 1
  %taken_over = or i64 %running, %wanted
  %any = or i64 %taken_over, %filled
  %mine = icmp eq i64 %any, 0
  %outputs = ptr %plan at OUTPUTS
  br i1 %mine, label %enter, label %needless
enter:
  %i = phi i64 [0, %look], [%next, %one]
  %place.at = getelementptr ptr, ptr %outputs, i64 %i
  %place = load ptr, ptr %place.at
  %more = icmp ne ptr %place, null
  %next = add i64 %i, 1
  br i1 %more, label %one, label %entered
one:
  %array = call ptr @PyTuple_GetItem(ptr %new, i64 %next)
  %data = ptr %array at data
  store ptr %data, ptr %place
  br label %enter
entered:
  store i64 0, ptr %empty
  %put = call i32 @PyList_SetItem(ptr %ready, i64 0, ptr %new)
  ret ptr %result
needless:
  call void @Py_DecRef(ptr %new)
  ret ptr %result
lost:
  call void @Py_DecRef(ptr %result)
  ret ptr null
}
"""
