"""The callbacks that follow transitions of alerts, called in order in their transaction."""

from collections.abc import Sequence

from alerts.announcing import OnTransitions
from notifications.actions.starting import start
from notifications.routing.enqueue import enqueue

ON_TRANSITIONS: Sequence[OnTransitions] = (enqueue, start)
