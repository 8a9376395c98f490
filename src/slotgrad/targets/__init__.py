"""Targets read kernel expressions and kernels, and write the text of another language.

May import the floor and `runtime.host`; knows nothing of tensors and derivatives.
"""
