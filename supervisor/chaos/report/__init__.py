"""What was found, told: one file a format, and the words they share."""
