from typing import Any

from fastapi import APIRouter

from api.schemas.grader import functions_list

router = APIRouter(prefix="/v1/reward_functions", tags=["graders"])


@router.get("")
async def every() -> dict[str, Any]:
    """The built-in reward functions, with their parameters (as JSON schema) and examples."""
    return functions_list()
