"""The read path: history queries and exports."""
