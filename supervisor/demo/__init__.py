"""The notes on multiprocessing, live: each of their claims is an experiment on this machine (`ninelives demo`)."""
