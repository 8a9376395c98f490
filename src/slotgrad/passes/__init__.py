"""Passes: functions from regions to regions; `pipeline.py` lists them in order."""
