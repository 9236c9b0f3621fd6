"""Who follows the transitions of alerts, in this order and in their transaction."""

from collections.abc import Sequence

from alerts.announcing import OnTransitions
from notifications.routing.enqueue import enqueue

ON_TRANSITIONS: Sequence[OnTransitions] = (enqueue,)
