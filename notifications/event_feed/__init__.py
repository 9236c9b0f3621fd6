"""Channels that send what happens on the bus, in order, to a program of somebody else."""
