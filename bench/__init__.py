"""The figures: ninelives measured, side by side with other supervisors, on the same workers."""
