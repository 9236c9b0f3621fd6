"""The watchdog: calls a URL regularly while Vigia works.

A canary passes all stages before a call.
"""
