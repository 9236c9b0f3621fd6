"""Settings that people change at run time, kept in the database."""
