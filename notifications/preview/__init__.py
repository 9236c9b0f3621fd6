"""What routes and policies would do: with an alert from now on, and with those of the past."""
