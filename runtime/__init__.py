"""The ground of every process: settings, log, schedule, disk, network."""
