"""The table of addresses that the native code of a program is given.

It begins with the scratch, the function for host calls and the number of the statement that failed;
the buffers follow.
"""

SCRATCH, HOST, FAILED, BUFFERS = range(4)
