"""Chaos: faults injected into a running service on purpose, and what is said of how it took them."""
