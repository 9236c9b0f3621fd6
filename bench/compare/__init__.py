"""Two checkouts of Vigia side by side, in CPU seconds."""
