"""The security audit: who changed what, and which requests were refused."""
