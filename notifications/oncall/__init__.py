"""Who is on call, whom an alert reaches and when: pure functions of what is stored, and of time."""
