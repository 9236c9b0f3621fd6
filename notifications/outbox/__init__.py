"""The outbox: deliveries are written in the alert's own transaction and sent after its commit."""
