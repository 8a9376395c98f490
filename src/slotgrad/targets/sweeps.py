"""The sweeps over a whole tape as LLVM text: checking, sorting, and running stretch by stretch.

The text is the same for every tape, so it is compiled once and then found on the disk.  Slots are
numbered in the order of recording; `place` is the number of a slot after sorting, where slots that
no operation computes come first and then one stretch after the other.

    need      mark what live slots depend on; the first slot that is not well formed, or -1
    classify  the kind of each slot (see runtime/tape.py), and how often each kind occurs
    level     1 + the level of the highest operand, and how many slots each level has
    by_kind   the slots in the order of their kinds
    by_level  the places of slots that come in the order of their kinds
    arrange   the columns in the order of places
    by_reader the places of long tapes once more, and the operands in their order: a stretch lies in
              the order of its last readers, which then read neighbours
    rename    place[i] = moved[place[i]]
    divide    where the stretches of one level and kind begin, and their kinds; how many there are
    join      the same with short neighbours of one kind joined, which then run slot after slot;
              their kinds are marked by adding 128
    gather    out[i] = x[slots[i]]
    scatter   out[slots[i]] = x[i]
    up, down  call a function of targets/tape.py for each stretch, from the first or from the last

Loads and stores are written as in targets/columns.py, which is what may be imported.
"""

from __future__ import annotations

from .columns import expanded, loop

# The operands %a and %b of slot %i; %b is %a where there is %one.
_OPERANDS = """\
  %a.w = i32 %first[%i]
  %a = zext i32 %a.w to i64
  %b.w = i32 %second[%i]
  %b.z = zext i32 %b.w to i64
  %one = icmp slt i32 %b.w, 0
  %b = select i1 %one, i64 %a, i64 %b.z"""

_ARITY = """\
  %c = i8 %code[%i]
  %c.i = zext i8 %c to i64
  %arity.c = i8 %arity[%c.i]"""

_STEPS = [
    loop(
        "need",
        "ptr %code, ptr %first, ptr %second, ptr %arity, ptr %live",
        f"""\
{_ARITY}
  %leaf = icmp eq i8 %arity.c, 0
  br i1 %leaf, label %next, label %look
look:
  %known = icmp ule i8 %arity.c, 2
{_OPERANDS}
  %a.ok = icmp ult i64 %a, %i
  %b.ok = icmp ult i64 %b, %i
  %both = and i1 %a.ok, %b.ok
  %two = icmp eq i8 %arity.c, 2
  %as.many = xor i1 %two, %one
  %fine = and i1 %both, %as.many
  %ok = and i1 %fine, %known
  br i1 %ok, label %mark, label %bad
mark:
  %alive = i8 %live[%i]
  %a.l = i8 %live[%a]
  %a.n = or i8 %a.l, %alive
  %live[%a] = i8 %a.n
  %b.l = i8 %live[%b]
  %b.n = or i8 %b.l, %alive
  %live[%b] = i8 %b.n
  br label %next""",
        down=True,
        more="  ret i64 -1\nbad:\n  ret i64 %i",
    ),
    loop(
        "classify",
        "ptr %code, ptr %first, ptr %second, ptr %arity, ptr %live, ptr %kind, ptr %count",
        f"""\
{_ARITY}
  %leaf = icmp eq i8 %arity.c, 0
  %alive = i8 %live[%i]
  %dead = icmp eq i8 %alive, 0
  %none = or i1 %leaf, %dead
  br i1 %none, label %put, label %look
look:
{_OPERANDS}
  %a.c = i8 %code[%a]
  %a.number = icmp eq i8 %a.c, 1
  %a.add = select i1 %a.number, i8 32, i8 0
  %b.c = i8 %code[%b]
  %b.number = icmp eq i8 %b.c, 1
  %b.other = select i1 %b.number, i8 64, i8 0
  %b.add = select i1 %one, i8 0, i8 %b.other
  %k.a = add i8 %c, %a.add
  %k.b = add i8 %k.a, %b.add
  br label %put
put:
  %k = phi i8 [0, %body], [%k.b, %look]
  %kind[%i] = i8 %k
  %k.i = zext i8 %k to i64
  %k.count = i64 %count[%k.i]
  %k.more = add i64 %k.count, 1
  %count[%k.i] = i64 %k.more
  br label %next""",
    ),
    loop(
        "gather",
        "ptr %x, ptr %slots, ptr %out",
        """\
  %s.w = i32 %slots[%i]
  %s = zext i32 %s.w to i64
  %v = double %x[%s]
  %out[%i] = double %v
  br label %next""",
    ),
    loop(
        "scatter",
        "ptr %x, ptr %slots, ptr %out",
        """\
  %s.w = i32 %slots[%i]
  %s = zext i32 %s.w to i64
  %v = double %x[%i]
  %out[%s] = double %v
  br label %next""",
    ),
    loop(
        "level",
        "ptr %kind, ptr %first, ptr %second, ptr %levels, ptr %count",
        f"""\
  %k = i8 %kind[%i]
  %none = icmp eq i8 %k, 0
  br i1 %none, label %put, label %look
look:
{_OPERANDS}
  %a.level = i32 %levels[%a]
  %b.level = i32 %levels[%b]
  %a.higher = icmp sgt i32 %a.level, %b.level
  %higher = select i1 %a.higher, i32 %a.level, i32 %b.level
  %above = add i32 %higher, 1
  br label %put
put:
  %l = phi i32 [0, %body], [%above, %look]
  %levels[%i] = i32 %l
  %l.i = zext i32 %l to i64
  %l.count = i32 %count[%l.i]
  %l.more = add i32 %l.count, 1
  %count[%l.i] = i32 %l.more
  br label %next""",
    ),
    loop(
        "by_kind",
        "ptr %kind, ptr %begin, ptr %order",
        """\
  %k = i8 %kind[%i]
  %k.i = zext i8 %k to i64
  %p = i64 %begin[%k.i]
  %p.next = add i64 %p, 1
  %begin[%k.i] = i64 %p.next
  %s = trunc i64 %i to i32
  %order[%p] = i32 %s
  br label %next""",
    ),
    loop(
        "by_level",
        "ptr %order, ptr %levels, ptr %begin, ptr %place",
        """\
  %s.w = i32 %order[%i]
  %s = zext i32 %s.w to i64
  %l = i32 %levels[%s]
  %l.i = zext i32 %l to i64
  %p = i32 %begin[%l.i]
  %p.next = add i32 %p, 1
  %begin[%l.i] = i32 %p.next
  %place[%s] = i32 %p
  br label %next""",
    ),
    loop(
        "arrange",
        "ptr %kind, ptr %first, ptr %second, ptr %place, ptr %kind.out, ptr %a.out, ptr %b.out",
        f"""\
  %p.w = i32 %place[%i]
  %p = zext i32 %p.w to i64
  %k = i8 %kind[%i]
  %kind.out[%p] = i8 %k
  %none = icmp eq i8 %k, 0
  br i1 %none, label %next, label %look
look:
{_OPERANDS}
  %a.place = i32 %place[%a]
  %b.place = i32 %place[%b]
  %a.out[%p] = i32 %a.place
  %b.out[%p] = i32 %b.place
  br label %next""",
    ),
    """
define i64 @divide(ptr %kind, ptr %ends, i64 %start, ptr %begins, ptr %kinds, i64 %n) nounwind {
entry:
  br label %head
head:
  %i = phi i64 [%start, %entry], [%i.next, %next]
  %g = phi i64 [0, %entry], [%g.next, %next]
  %l = phi i64 [0, %entry], [%l.next, %next]
  %before = phi i8 [0, %entry], [%k, %next]
  %left = icmp slt i64 %i, %n
  br i1 %left, label %body, label %end
body:
  %k = i8 %kind[%i]
  %stop.w = i32 %ends[%l]
  %stop = zext i32 %stop.w to i64
  %over = icmp eq i64 %i, %stop
  %over.i = zext i1 %over to i64
  %l.next = add i64 %l, %over.i
  %other = icmp ne i8 %k, %before
  %new = or i1 %other, %over
  br i1 %new, label %put, label %next
put:
  %begin = trunc i64 %i to i32
  %begins[%g] = i32 %begin
  %kinds[%g] = i8 %k
  %g.more = add i64 %g, 1
  br label %next
next:
  %g.next = phi i64 [%g, %body], [%g.more, %put]
  %i.next = add i64 %i, 1
  br label %head
end:
  %last = trunc i64 %n to i32
  %begins[%g] = i32 %last
  ret i64 %g
}
""",
    # `moved` is a place's new place or, while it has none, ~ the number of its stretch, which is
    # filled from its end; `at` is what has a place, and at first -1.  Readers are in later
    # stretches, so that what has no place when its stretch comes is read by nobody.
    """
define void @by_reader(ptr %a, ptr %b, ptr %ends, ptr %at, ptr %moved, ptr %a.out, ptr %b.out, \
i64 %start, i64 %n) nounwind {
entry:
  br label %head
head:
  %above = phi i64 [%n, %entry], [%p, %put]
  %unread = phi i64 [%n, %entry], [%unread.now, %put]
  %left = icmp sgt i64 %above, %start
  br i1 %left, label %body, label %end
body:
  %p = sub i64 %above, 1
  %p.w = trunc i64 %p to i32
  %found.w = i32 %at[%p]
  %found = sext i32 %found.w to i64
  %none = icmp slt i64 %found, 0
  br i1 %none, label %seek, label %put
seek:
  %seen = phi i64 [%unread, %body], [%next, %seek]
  %next = sub i64 %seen, 1
  %next.place = i32 %moved[%next]
  %known = icmp sge i32 %next.place, 0
  br i1 %known, label %seek, label %take
take:
  %moved[%next] = i32 %p.w
  br label %put
put:
  %unread.now = phi i64 [%unread, %body], [%next, %take]
  %i = phi i64 [%found, %body], [%next, %take]
  %b.i = i32 %b[%i]
  %b.place = call i32 @new_place(i32 %b.i, ptr %ends, ptr %at, ptr %moved)
  %b.out[%p] = i32 %b.place
  %a.i = i32 %a[%i]
  %a.place = call i32 @new_place(i32 %a.i, ptr %ends, ptr %at, ptr %moved)
  %a.out[%p] = i32 %a.place
  br label %head
end:
  ret void
}

define internal i32 @new_place(i32 %i.w, ptr %ends, ptr %at, ptr %moved) nounwind {
entry:
  %i = zext i32 %i.w to i64
  %m = i32 %moved[%i]
  %known = icmp sge i32 %m, 0
  br i1 %known, label %old, label %new
old:
  ret i32 %m
new:
  %stretch.w = xor i32 %m, -1
  %stretch = zext i32 %stretch.w to i64
  %end = i32 %ends[%stretch]
  %p.w = sub i32 %end, 1
  %ends[%stretch] = i32 %p.w
  %p = zext i32 %p.w to i64
  %at[%p] = i32 %i.w
  %moved[%i] = i32 %p.w
  ret i32 %p.w
}
""",
    loop(
        "rename",
        "ptr %place, ptr %moved",
        """\
  %p.w = i32 %place[%i]
  %p = zext i32 %p.w to i64
  %new = i32 %moved[%p]
  %place[%i] = i32 %new
  br label %next""",
    ),
    """
define i64 @join(ptr %begins, ptr %kinds, ptr %least, i64 %n) nounwind {
entry:
  br label %head
head:
  %i = phi i64 [0, %entry], [%i.next, %next]
  %g = phi i64 [0, %entry], [%g.next, %next]
  %before = phi i8 [0, %entry], [%kind, %next]
  %begin = i32 %begins[%i]
  %left = icmp slt i64 %i, %n
  br i1 %left, label %body, label %end
body:
  %i.next = add i64 %i, 1
  %stop = i32 %begins[%i.next]
  %size = sub i32 %stop, %begin
  %k = i8 %kinds[%i]
  %k.i = zext i8 %k to i64
  %least.k = i32 %least[%k.i]
  %small = icmp ult i32 %size, %least.k
  %flag = select i1 %small, i8 -128, i8 0
  %kind = or i8 %k, %flag
  %same = icmp eq i8 %kind, %before
  %goes.on = and i1 %same, %small
  br i1 %goes.on, label %next, label %put
put:
  %begins[%g] = i32 %begin
  %kinds[%g] = i8 %kind
  %g.more = add i64 %g, 1
  br label %next
next:
  %g.next = phi i64 [%g, %body], [%g.more, %put]
  br label %head
end:
  %begins[%g] = i32 %begin
  ret i64 %g
}
""",
]

_RUN = "ptr %table, ptr %first, ptr %second, ptr %values, ptr %gradients"
_STRETCH = """\
  %begin.w = i32 %begins[%i]
  %begin = zext i32 %begin.w to i64
  %after = add i64 %i, 1
  %stop.w = i32 %begins[%after]
  %stop = zext i32 %stop.w to i64
  %size = sub i64 %stop, %begin
  %rest = urem i64 %size, LANES
  %whole = sub i64 %stop, %rest
  %flagged = i8 %kinds[%i]
  %ordered = icmp slt i8 %flagged, 0
  %middle = select i1 %ordered, i64 %begin, i64 %whole
  %k = and i8 %flagged, 127
  %k.i = zext i8 %k to i64
  %run = ptr %table[%k.i]
  call void %run(ptr %first, ptr %second, ptr %values, ptr %gradients, i64 %begin, i64 %middle, \
i64 %stop)
  br label %next"""


def sweeps_text(lanes: int) -> str:
    """The text of all sweeps; vectors have `lanes` elements."""
    arguments = f"ptr %begins, ptr %kinds, {_RUN}"
    stretch = _STRETCH.replace("LANES", str(lanes))
    run = [loop("up", arguments, stretch), loop("down", arguments, stretch, down=True)]
    return expanded("".join([*_STEPS, *run]))
