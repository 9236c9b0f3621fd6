"""The live stream: clients and subscribers follow changes as they happen."""
