"""What tests of schedules in the database share."""

import pytest

from tests.notifications.oncall.staff import Staff
from tests.notifications.outbox.telling import Telling


@pytest.fixture
def staff(telling: Telling) -> Staff:
    return Staff(telling)
