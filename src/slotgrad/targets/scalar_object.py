"""The text of an object that stands for a slot of a tape, and of its calls to Python.

    dealloc, get_tape, set_tape     what its type has
    made    a new object of the tape's kind
    called  the result of a method that is not null, which is let go
    slow    the result of a method of x with y, or of one of y with x if x has none of this name

Loads and stores are written as in `targets/recorder.py`, where this text belongs.  May import
nothing of the package.
"""

OBJECT = """
declare i64 @PyLong_AsLongLong(ptr)
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
declare ptr @PyLong_FromLongLong(i64)
declare ptr @PyDict_GetItemWithError(ptr, ptr)
declare i64 @PyDict_Size(ptr)
declare i32 @PyDict_SetItem(ptr, ptr, ptr)
declare ptr @PyObject_GetAttrString(ptr, ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare ptr @PyErr_Occurred()
declare void @PyErr_Clear()
declare ptr @PyType_GenericAlloc(ptr, i64)
declare ptr @PyType_GetSlot(ptr, i32)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)

@float = internal global ptr null
@int = internal global ptr null
@none = internal global ptr null
@address = internal constant [8 x i8] c"address\\00"

define void @install(ptr %float, ptr %int, ptr %none) {
  store ptr %float, ptr @float
  store ptr %int, ptr @int
  store ptr %none, ptr @none
  ret void
}

define void @dealloc(ptr %self) {
begin:
  %type = ptr %self[kind]
  %header = ptr %self[header]
  %on = icmp ne ptr %header, null
  br i1 %on, label %let.go, label %free
let.go:
  %tape = ptr %header[TAPE]
  call void @Py_DecRef(ptr %tape)
  br label %free
free:
  %function = call ptr @PyType_GetSlot(ptr %type, i32 74)
  call void %function(ptr %self)
  call void @Py_DecRef(ptr %type)
  ret void
}

define ptr @get_tape(ptr %self, ptr %unused) {
begin:
  %header = ptr %self[header]
  %on = icmp ne ptr %header, null
  br i1 %on, label %found, label %none
found:
  %tape = ptr %header[TAPE]
  br label %end
none:
  %nothing = load ptr, ptr @none
  br label %end
end:
  %result = phi ptr [%tape, %found], [%nothing, %none]
  call void @Py_IncRef(ptr %result)
  ret ptr %result
}

define i32 @set_tape(ptr %self, ptr %tape, ptr %unused) {
begin:
  %before = ptr %self[header]
  %none = load ptr, ptr @none
  %is.none = icmp eq ptr %tape, %none
  %deleted = icmp eq ptr %tape, null
  %off = or i1 %is.none, %deleted
  br i1 %off, label %put, label %on
on:
  %number = call ptr @PyObject_GetAttrString(ptr %tape, ptr @address)
  %there = icmp ne ptr %number, null
  br i1 %there, label %read, label %failed
read:
  %word = call i64 @PyLong_AsLongLong(ptr %number)
  call void @Py_DecRef(ptr %number)
  %bad = icmp eq i64 %word, -1
  br i1 %bad, label %failed, label %hold
hold:
  %found = inttoptr i64 %word to ptr
  call void @Py_IncRef(ptr %tape)
  br label %put
put:
  %header = phi ptr [null, %begin], [%found, %hold]
  %self[header] = ptr %header
  %was.on = icmp ne ptr %before, null
  br i1 %was.on, label %let.go, label %done
let.go:
  %old = ptr %before[TAPE]
  call void @Py_DecRef(ptr %old)
  br label %done
done:
  ret i32 0
failed:
  ret i32 -1
}

define internal ptr @made(ptr %header, i64 %slot) {
begin:
  %type = ptr %header[KIND]
  %object = call ptr @PyType_GenericAlloc(ptr %type, i64 0)
  %there = icmp ne ptr %object, null
  br i1 %there, label %fill, label %end
fill:
  %object[header] = ptr %header
  %object[slot] = i64 %slot
  %tape = ptr %header[TAPE]
  call void @Py_IncRef(ptr %tape)
  br label %end
end:
  ret ptr %object
}

; -- Python ----------------------------------------------------------------------------------------

define internal ptr @called(ptr %method, ptr %arguments, i64 %count) {
begin:
  %there = icmp ne ptr %method, null
  br i1 %there, label %call, label %end
call:
  %answer = call ptr @PyObject_Vectorcall(ptr %method, ptr %arguments, i64 %count, ptr null)
  call void @Py_DecRef(ptr %method)
  br label %end
end:
  %result = phi ptr [null, %begin], [%answer, %call]
  ret ptr %result
}

define internal ptr @slow(ptr %x, ptr %y, ptr %z, ptr %name, ptr %reflected) {
begin:
  %arguments = alloca [2 x ptr]
  %error = call ptr @PyErr_Occurred()
  %failed = icmp ne ptr %error, null
  br i1 %failed, label %raise, label %first
raise:
  ret ptr null
first:
  %forward = call ptr @PyObject_GetAttrString(ptr %x, ptr %name)
  %there = icmp ne ptr %forward, null
  br i1 %there, label %call, label %second
second:
  call void @PyErr_Clear()
  %backward = call ptr @PyObject_GetAttrString(ptr %y, ptr %reflected)
  br label %call
call:
  %method = phi ptr [%forward, %first], [%backward, %second]
  %argument = phi ptr [%y, %first], [%x, %second]
  %arguments[0] = ptr %argument
  %arguments[1] = ptr %z
  %none = load ptr, ptr @none
  %plain = icmp eq ptr %z, %none
  %count = select i1 %plain, i64 1, i64 2
  %answer = call ptr @called(ptr %method, ptr %arguments, i64 %count)
  ret ptr %answer
}
"""
