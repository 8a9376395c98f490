"""Derivatives: one reverse mode, one forward mode, and what is made of them."""
