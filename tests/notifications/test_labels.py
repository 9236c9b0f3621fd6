"""Buttons speak every language of messages."""

from notifications.labels import LABELS
from notifications.message import Language


def test_every_language_has_labels_that_fit_a_button() -> None:
    assert set(LABELS) == set(Language)
    for labels in LABELS.values():
        words = [getattr(labels, name) for name in labels.__struct_fields__]
        assert all(0 < len(word) <= 12 for word in words)
        assert len(set(words)) == len(words)
