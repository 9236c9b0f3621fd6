"""What web push needs: messages that only one browser can read, from a sender it can check."""
