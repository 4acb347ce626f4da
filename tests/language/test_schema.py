"""The JSON Schema that editors use agrees with the loader and with the file checked in."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from engine.language.diagnostics import Findings
from engine.language.document import plain
from engine.language.expand import READERS
from engine.language.forms import FORMS
from engine.language.schema import SCHEMA_FILE, schema, schema_text
from engine.loader import compose


def data(text: str) -> Any:
    return plain(compose(text.encode(), Findings("lifecycle.yaml")))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema())
    return jsonschema.Draft202012Validator(schema())


def test_a_valid_file_fits_the_schema(valid: str, validator: jsonschema.Draft202012Validator) -> None:
    """An editor that underlines what the loader takes would teach people to ignore it."""
    assert [error.message for error in validator.iter_errors(data(valid))] == []


def test_the_schema_checked_in_is_the_generated_one() -> None:
    """`python -m engine.language.reference --write` renews it."""
    assert SCHEMA_FILE.read_text() == schema_text()


@pytest.mark.parametrize(
    "old, new",
    [
        ("name: shop", "nam: shop"),
        ("lifecycle: 1", "lifecycle: 2"),
        ("initial: packing", "initial: 7"),
        ("final: true", "final: maybe"),
        ("every: 10s", "every: 10"),
        ("after: {30s: ending}", "after: {30: ending}"),
        ("memory: 64MB", "memory: 64mb"),
        ("cents: int", "cents: integer"),
        ("cancel: {from: [client, admin]}", "cancel: {from: [clint]}"),
        ("idle: {1h:", "idel: {1h:"),
        ("{to: leaving, when: is_paid}", "{to: leaving, if: is_paid}"),
        ("timeout: 5s,", "timout: 5s,"),
        ("attempts: 3", "attempts: 21"),
        ("owns: {parcel: 3}", "owns: {parcel: 0}"),
        ("run: cleanup", "run: []"),
        ("{any: [is_paid", "{eny: 1, any: [is_paid"),
    ],
)
def test_a_mistake_of_form_shows_in_the_editor(
    old: str, new: str, valid: str, validator: jsonschema.Draft202012Validator
) -> None:
    """What needs no registry can be seen while typing."""
    assert old in valid
    assert not validator.is_valid(data(valid.replace(old, new, 1)))


def test_every_kind_of_value_has_a_reader_and_every_key_a_text() -> None:
    """The table of keys is what the loader, the schema and the reference share."""
    keys = [key for form in FORMS for key in form.keys]
    assert {key.type for key in keys} <= set(READERS)
    assert all(key.text for key in keys)


def test_every_key_is_a_field_of_its_model() -> None:
    """A key that no model has would be read and lost."""
    for form in FORMS:
        fields = {*form.model.model_fields, "arguments"}
        assert {key.target for key in form.keys} <= fields
