"""The bus: the table of transitions that clients, replicas and subscribers follow."""
