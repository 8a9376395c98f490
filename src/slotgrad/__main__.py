"""`python -m slotgrad` is the command line."""

from .cli import main

main()
