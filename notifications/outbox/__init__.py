"""The outbox: deliveries are written with the alert's own transaction, and sent after it."""
