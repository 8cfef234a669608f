"""One file a kind of fault; what a file has is said in supervisor/chaos/fault.py."""
