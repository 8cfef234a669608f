"""The worker's side of ninelives: the heart, the protocol it speaks, and short workers to read and run."""
