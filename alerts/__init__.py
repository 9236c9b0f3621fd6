"""Alert rules, their evaluation, and the alerts that they raise."""
