"""The operations, each declared once; see `declare.py` for how."""
