"""The form of each type of channel says what its own checks ask for."""

import pytest

from notifications.channel_forms.form import FieldKind, form_of, forms
from notifications.registry import TYPES


def test_there_is_a_form_for_each_type_in_the_order_of_titles() -> None:
    made = forms()
    assert {form.type for form in made} == set(TYPES)
    assert [form.title.lower() for form in made] == sorted(form.title.lower() for form in made)


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
def test_every_field_has_a_label_and_help(kind: object) -> None:
    form = form_of(kind)  # type: ignore[arg-type]
    assert form.about.endswith(".")
    for field in form.fields:
        assert field.label[0].isupper()
        assert field.hint or field.example
        assert not field.hint or field.hint.endswith(".")


def test_a_field_is_entered_as_its_type_says() -> None:
    telegram = {field.name: field for field in form_of(TYPES["telegram"]).fields}
    assert (telegram["chat_id"].kind, telegram["chat_id"].is_required) == (FieldKind.TEXT, True)
    assert (telegram["topic_id"].kind, telegram["topic_id"].is_required) == (
        FieldKind.NUMBER, False,
    )  # fmt: skip
    assert telegram["secret"].kind is FieldKind.WRITE_ONLY
    assert not telegram["url"].is_required

    email = {field.name: field for field in form_of(TYPES["email"]).fields}
    assert email["to"].kind is FieldKind.LIST
    assert email["plain"].kind is FieldKind.SWITCH
    assert "from" in email
