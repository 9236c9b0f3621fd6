"""What a process needs whatever it serves: settings, log, schedule, disk, network."""
