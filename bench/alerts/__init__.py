"""The evaluation of rules, beside Prometheus, and a storm of alerts."""
