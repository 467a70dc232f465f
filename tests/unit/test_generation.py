"""The parameters of stored sums: what a release can count with, and what it says of what it cannot."""

import msgspec
import pytest
from msgspec import structs

from app.core import generation
from app.core.generation import RELEASE, Unsupported, differences, encode_parameters, model_of
from app.core.model import MODEL, Model


def test_own_parameters_make_the_model_of_the_release() -> None:
    stored = encode_parameters(RELEASE)
    assert model_of(stored) == MODEL
    assert differences(stored) == []


@pytest.mark.parametrize("name", generation._OF_MODEL)
def test_stored_value_takes_the_place_of_the_constant(name: str) -> None:
    value = getattr(RELEASE, name)
    other = tuple(2 * one for one in value) if isinstance(value, tuple) else value * 2
    stored = encode_parameters(structs.replace(RELEASE, **{name: other}))
    assert model_of(stored) == structs.replace(MODEL, **{name: other})
    assert len(differences(stored)) == 1


@pytest.mark.parametrize("name", sorted(set(RELEASE.__struct_fields__) - set(generation._OF_MODEL)))
def test_other_value_of_a_constant_of_the_code_is_refused(name: str) -> None:
    values = msgspec.to_builtins(RELEASE)
    values[name] = [1, 2, 3] if isinstance(values[name], tuple | list) else values[name] * 2
    with pytest.raises(Unsupported, match=f"^{name} is .* in the stored sums and .* in this release$"):
        model_of(msgspec.json.encode(values).decode())


@pytest.mark.parametrize("missing", RELEASE.__struct_fields__)
def test_parameter_that_is_not_stored_is_refused(missing: str) -> None:
    values = msgspec.to_builtins(RELEASE)
    del values[missing]
    with pytest.raises(Unsupported, match=missing):
        model_of(msgspec.json.encode(values).decode())


def test_parameter_of_a_later_release_is_refused() -> None:
    stored = msgspec.json.encode({**msgspec.to_builtins(RELEASE), "by_weekday": True}).decode()
    with pytest.raises(Unsupported, match="by_weekday is true in the stored sums and unknown in this release"):
        model_of(stored)


def test_each_parameter_is_a_constant_or_one_of_the_model() -> None:
    assert set(generation._OF_MODEL) <= set(Model.__struct_fields__)
