"""Speed beside the peers: `make bench`, or `python -m benchmarks [suite ...]`.

case.py        a case, the bar it shall reach, the row of the table it becomes
measure.py     the parent: one worker process for each peer, turns, medians
worker.py      the worker: prepares a case for its peer and times it
report.py      tables and chart
simplegrad.py, simplegrad.mjs
               a peer that runs in node
calls.py  steps.py  functions.py  gemm.py  start.py     the cases, by subject
"""
