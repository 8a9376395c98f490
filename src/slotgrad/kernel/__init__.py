"""Kernels: what a region becomes before a target writes code for it."""
