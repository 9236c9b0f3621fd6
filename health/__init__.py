"""The health of each component: its status now and in the past."""
