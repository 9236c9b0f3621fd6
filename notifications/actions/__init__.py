"""What alerts have Vigia do besides telling people: a webhook, a backup."""
