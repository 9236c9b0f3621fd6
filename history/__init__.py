"""The read path: questions about the past, and exports."""
