"""A pool that survives its workers: a concurrent.futures.Executor (docs/architecture.md, "The pool")."""
