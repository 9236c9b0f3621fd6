"""The bus: the one table of transitions that clients and replicas follow."""
