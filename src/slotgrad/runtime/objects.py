"""How native code looks into Python's objects: a part of the entry (see `runtime/entry.py`).

`fits` says whether an array is as wanted, `value_of` finds the array of a tensor.  `opened` says
whether a container is of the type, the length and with the keys that an instruction names, in this
order, and puts its items where the next instructions find them.  Keys are compared only with those
of their own type, and types are such that no Python code runs.  Imports nothing.
"""

from __future__ import annotations

OBJECTS = """
declare i32 @PyDict_Next(ptr, ptr, ptr, ptr)
declare i32 @PyObject_RichCompareBool(ptr, ptr, i32)

define internal i1 @fits(ptr %x, ptr %plan, ptr %wanted) {
begin:
  %kind = ptr %x at kind
  %array = ptr %plan at ARRAY
  %is_array = icmp eq ptr %kind, %array
  br i1 %is_array, label %look, label %no
look:
  %dtype = i64 %x at dtype
  %its_dtype = i64 %wanted at 0
  %ok_dtype = icmp eq i64 %dtype, %its_dtype
  %flags = i32 %x at flags
  %its_flags = i32 %wanted at 8
  %set = and i32 %flags, %its_flags
  %ok_flags = icmp eq i32 %set, %its_flags
  %ndim = i32 %x at ndim
  %its_ndim = i32 %wanted at 16
  %ok_ndim = icmp eq i32 %ndim, %its_ndim
  %ok_both = and i1 %ok_dtype, %ok_flags
  %ok = and i1 %ok_both, %ok_ndim
  %sizes = ptr %x at sizes
  %axes = zext i32 %ndim to i64
  %its_sizes = getelementptr i8, ptr %wanted, i64 24
  br i1 %ok, label %axis, label %no
axis:
  %i = phi i64 [0, %look], [%after, %compare]
  %left = icmp ult i64 %i, %axes
  br i1 %left, label %compare, label %yes
compare:
  %size.at = getelementptr i64, ptr %sizes, i64 %i
  %size = load i64, ptr %size.at
  %its_size.at = getelementptr i64, ptr %its_sizes, i64 %i
  %its_size = load i64, ptr %its_size.at
  %same = icmp eq i64 %size, %its_size
  %after = add i64 %i, 1
  br i1 %same, label %axis, label %no
yes:
  ret i1 true
no:
  ret i1 false
}

define internal ptr @value_of(ptr %tensor, ptr %plan, ptr %tracked) {
begin:
  %node = ptr %tensor at node
  %there = icmp ne ptr %node, null
  br i1 %there, label %look, label %no
look:
  %kind = ptr %node at kind
  %vertex = ptr %plan at VERTEX
  %is_node = icmp eq ptr %kind, %vertex
  br i1 %is_node, label %ask, label %no
ask:
  %its = ptr %node at tracked
  %same = icmp eq ptr %its, %tracked
  %any = icmp eq ptr %tracked, null
  %ok = or i1 %same, %any
  br i1 %ok, label %yes, label %no
yes:
  %value = ptr %node at value
  ret ptr %value
no:
  ret ptr null
}

define internal i1 @opened(ptr %x, ptr %p, ptr %room) {
begin:
  %position = alloca i64
  %key.at = alloca ptr
  %item.at = alloca ptr
  store i64 0, ptr %position
  %op = i64 %p at 0
  %its_kind = ptr %p at 16
  %first = i64 %p at 24
  %count = i64 %p at 32
  %to = getelementptr ptr, ptr %room, i64 %first
  %keys = getelementptr i8, ptr %p, i64 40
  %kind = ptr %x at kind
  %is_kind = icmp eq ptr %kind, %its_kind
  br i1 %is_kind, label %look, label %no
look:
  %is_dict = icmp eq i64 %op, IN_DICT
  br i1 %is_dict, label %dict, label %sequence
sequence:
  %length = i64 %x at length
  %as_long = icmp eq i64 %length, %count
  br i1 %as_long, label %where, label %no
where:
  %inside = getelementptr i8, ptr %x, i64 items
  %is_list = icmp eq i64 %op, IN_LIST
  br i1 %is_list, label %list, label %walk
list:
  %outside = ptr %x at list_items
  br label %walk
walk:
  %from = phi ptr [%inside, %where], [%outside, %list], [%from, %take]
  %i = phi i64 [0, %where], [0, %list], [%i.next, %take]
  %left = icmp ult i64 %i, %count
  br i1 %left, label %take, label %yes
take:
  %from.at = getelementptr ptr, ptr %from, i64 %i
  %item = load ptr, ptr %from.at
  %to.at = getelementptr ptr, ptr %to, i64 %i
  store ptr %item, ptr %to.at
  %i.next = add i64 %i, 1
  br label %walk
dict:
  %size = i64 %x at dict_length
  %as_many = icmp eq i64 %size, %count
  br i1 %as_many, label %entry, label %no
entry:
  %n = phi i64 [0, %dict], [%n.next, %put]
  %more = icmp ult i64 %n, %count
  br i1 %more, label %next, label %yes
next:
  %found = call i32 @PyDict_Next(ptr %x, ptr %position, ptr %key.at, ptr %item.at)
  %is_found = icmp ne i32 %found, 0
  br i1 %is_found, label %compare, label %no
compare:
  %key = load ptr, ptr %key.at
  %its_key.at = getelementptr ptr, ptr %keys, i64 %n
  %its_key = load ptr, ptr %its_key.at
  %identical = icmp eq ptr %key, %its_key
  br i1 %identical, label %put, label %ask
ask:
  %key.kind = ptr %key at kind
  %its_key.kind = ptr %its_key at kind
  %alike = icmp eq ptr %key.kind, %its_key.kind
  br i1 %alike, label %equal, label %no
equal:
  %answer = call i32 @PyObject_RichCompareBool(ptr %key, ptr %its_key, i32 2)
  %is_equal = icmp eq i32 %answer, 1
  br i1 %is_equal, label %put, label %no
put:
  %value = load ptr, ptr %item.at
  %value.at = getelementptr ptr, ptr %to, i64 %n
  store ptr %value, ptr %value.at
  %n.next = add i64 %n, 1
  br label %entry
yes:
  ret i1 true
no:
  ret i1 false
}
"""
