"""The graph: nodes, the operations they stand for, and `apply`, which makes them."""
