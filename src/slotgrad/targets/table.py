"""The table of a program and its calls, and the native code that runs it.

The table is an array of addresses: the scratch, the function for host calls, the number of the
statement that failed, where a timed run stores what the clock says; the buffers follow.

A call is an array of words: a kernel, `i32 kernel(ptr call)`, whose result is not 0 if it has
failed, the next call or 0, the table, the number of the statement.  Pairs for its operands follow:
where in the table a buffer is, and the bytes from there to where the kernel begins.

May import nothing of the package.
"""

SCRATCH, HOST, FAILED, CLOCK, BUFFERS = range(5)
KERNEL, NEXT, TABLE, NUMBER, OPERANDS = range(5)

# Does the calls from the first on; the result is not 0 if one has failed.
_RUN = f"""\
define i32 @run(ptr %first) {{{{
begin:
  br label %look
look:
  %call = phi ptr [%first, %begin], [%next, %do]
  %over = icmp eq ptr %call, null
  br i1 %over, label %end, label %do
do:{{before}}
  %kernel = load ptr, ptr %call
  %status = call i32 %kernel(ptr %call){{after}}
  %next.at = getelementptr ptr, ptr %call, i64 {NEXT}
  %next = load ptr, ptr %next.at
  %well = icmp eq i32 %status, 0
  br i1 %well, label %look, label %failed
failed:
  %number.at = getelementptr i64, ptr %call, i64 {NUMBER}
  %number = load i64, ptr %number.at
  %table.at = getelementptr ptr, ptr %call, i64 {TABLE}
  %table = load ptr, ptr %table.at
  %failed.at = getelementptr i64, ptr %table, i64 {FAILED}
  store i64 %number, ptr %failed.at
  ret i32 1
end:
  ret i32 0
}}}}
"""
RUN = _RUN.format(before="", after="")

_CLOCK = f"""
  %owner.at = getelementptr ptr, ptr %call, i64 {TABLE}
  %owner = load ptr, ptr %owner.at
  %clock.at = getelementptr ptr, ptr %owner, i64 {CLOCK}
  %clock = load ptr, ptr %clock.at
  %which.at = getelementptr i64, ptr %call, i64 {NUMBER}
  %which = load i64, ptr %which.at"""
_STAMP = """
  %stamp{0}.at = getelementptr [3 x [2 x i64]], ptr %clock, i64 %which, i64 {0}
  %stamp{0} = call i32 @clock_gettime(i32 {1}, ptr %stamp{0}.at)"""


def timed_run(clock: int) -> str:
    """The text of a `run` that stores what the clock of this number says: twice before each call,
    and once after it."""
    first, again, after = (_STAMP.format(i, clock) for i in range(3))
    text = _RUN.format(before=_CLOCK + first + again, after=after)
    return "declare i32 @clock_gettime(i32, ptr)\n" + text


# Runs a program for one row after the other and tells how many runs went well.  A move is the place
# of an address and the bytes from row to row.
ROWS = """
define i64 @rows(ptr %run, ptr %first, ptr %moves, i64 %count, i64 %rows) {
begin:
  br label %row
row:
  %done = phi i64 [0, %begin], [%next, %moved]
  %left = icmp ult i64 %done, %rows
  br i1 %left, label %go, label %end
go:
  %status = call i32 %run(ptr %first)
  %well = icmp eq i32 %status, 0
  br i1 %well, label %move, label %end
move:
  %i = phi i64 [0, %go], [%i.next, %one]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %one, label %moved
one:
  %place.at = getelementptr [2 x i64], ptr %moves, i64 %i
  %place = load ptr, ptr %place.at
  %bytes.at = getelementptr i64, ptr %place.at, i64 1
  %bytes = load i64, ptr %bytes.at
  %address = load i64, ptr %place
  %moved.to = add i64 %address, %bytes
  store i64 %moved.to, ptr %place
  %i.next = add i64 %i, 1
  br label %move
moved:
  %next = add i64 %done, 1
  br label %row
end:
  ret i64 %done
}
"""
