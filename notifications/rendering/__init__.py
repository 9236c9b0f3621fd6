"""Renderings that several channels share: plain text for SMS, buttons, and mail."""
