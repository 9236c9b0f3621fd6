"""Routes of the API for web push."""
