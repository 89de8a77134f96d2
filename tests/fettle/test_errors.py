from typing import Annotated

import pytest
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from fettle.errors import from_schema


class Asked(BaseModel):
    prompt: (
        Annotated[str, AfterValidator(str.strip)] | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    )


@pytest.mark.parametrize("prompt", [["a", "b"], 5, None, {"a": 1}, []])
def test_a_value_of_several_kinds_is_named_as_its_sender_knows_it(prompt: object) -> None:
    with pytest.raises(ValidationError) as caught:
        Asked.model_validate({"prompt": prompt})
    error = from_schema(caught.value.errors())
    assert error.param == "prompt"
    assert error.message.startswith("Invalid value for 'prompt': Input should be a valid string")
