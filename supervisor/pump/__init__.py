"""The pump: worker output and events in, JSON lines out, not one lost or doubled whatever kills it."""
