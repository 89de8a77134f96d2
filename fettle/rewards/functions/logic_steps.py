"""Constraint puzzles: does the conclusion follow, and every step towards it?"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from itertools import islice, product
from typing import Any

from fettle.rewards.functions.function import EachSample, Example, Parameters, Resources, RewardFunction, Ungradable
from fettle.rewards.functions.tags import answer_of, reasoning_of
from fettle.rewards.samples import Sample

WORLDS_AT_MOST = 50_000  # assignments that are tried
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
World = Mapping[str, Any]


class LogicSteps(Parameters):
    """The row holds `variables`, {name: [possible values]}, and `constraints`, texts such as "Ann != Ben",
    "Ann == 'cat' or Ben < 3", "abs(x - y) == 1". partial: the share of the claims that follow; else all must."""

    partial: bool = False


def open_logic_steps(parameters: LogicSteps, _: Resources) -> EachSample:
    def value(sample: Sample) -> float:
        variables, constraints = puzzle(sample.item)
        worlds = solutions(variables, constraints)
        if not worlds:
            raise Ungradable("the constraints have no solution")
        answer = claims(answer_of(sample.completion), variables)
        right = [follows(claim, worlds) for claim in answer if claim[1]]
        named = {name for name, positive, _ in answer if positive}
        steps = [follows(claim, worlds) for claim in claims(reasoning_of(sample.completion), variables)]
        checks = [*right, *[False for name in variables if name not in named], *steps]
        return sum(checks) / len(checks) if parameters.partial else float(all(checks))

    return EachSample(value)


def puzzle(item: Mapping[str, Any]) -> tuple[dict[str, list[Any]], list[ast.expr]]:
    """Raises Ungradable."""
    variables, constraints = item.get("variables"), item.get("constraints")
    if not isinstance(variables, dict) or not variables or not all(isinstance(v, list) for v in variables.values()):
        raise Ungradable("item has no 'variables': {name: [possible values]}")
    if not isinstance(constraints, list) or not all(isinstance(text, str) for text in constraints):
        raise Ungradable("item has no 'constraints': a list of strings")
    try:
        return variables, [ast.parse(text.strip(), mode="eval").body for text in constraints]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Ungradable(f"a constraint cannot be read: {error}") from error


def solutions(variables: Mapping[str, list[Any]], constraints: list[ast.expr]) -> list[World]:
    """Every assignment that keeps all constraints. Raises Ungradable."""
    tried = list(islice(product(*variables.values()), WORLDS_AT_MOST + 1))
    if len(tried) > WORLDS_AT_MOST:
        raise Ungradable(f"the puzzle has more than {WORLDS_AT_MOST:,} assignments")
    worlds: list[World] = [dict(zip(variables, values, strict=True)) for values in tried]
    try:
        return [world for world in worlds if all(worth(constraint, world) for constraint in constraints)]
    except (TypeError, RecursionError) as error:
        raise Ungradable(f"a constraint compares what cannot be compared: {error}") from error


def worth(node: ast.expr, world: World) -> Any:
    """The value of a constraint, or of a part of one, in a world. Raises Ungradable."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name in world:
            return world[name]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not worth(operand, world)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -worth(operand, world)
        case ast.BoolOp(op=op, values=parts):
            return (all if isinstance(op, ast.And) else any)(worth(part, world) for part in parts)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            one, other = worth(left, world), worth(right, world)
            return one + other if isinstance(op, ast.Add) else one - other
        case ast.Call(func=ast.Name(id="abs"), args=[inner], keywords=[]):
            return abs(worth(inner, world))
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in COMPARISONS for op in ops):
            sides = [worth(side, world) for side in (left, *others)]
            return all(COMPARISONS[type(op)](sides[at], sides[at + 1]) for at, op in enumerate(ops))
    raise Ungradable(f"{ast.unparse(node)!r} is not supported in a constraint")


Claim = tuple[str, bool, str]  # (variable, is it or is it not, value)


def claims(text: str, variables: Mapping[str, list[Any]]) -> list[Claim]:
    """What a text says: `Ann = cat`, `Ann: cat`, `Ann is cat`, `Ann is not cat`, `Ann != cat`."""
    found: list[Claim] = []
    for name, values in variables.items():
        spelled = "|".join(sorted((re.escape(str(value)) for value in values), key=len, reverse=True))
        relation = r"(?P<no>!=|≠|is not|isn't|cannot be|can't be)|==|=|:|is|must be"
        said = re.compile(rf"\b{re.escape(name)}\s*(?:{relation})\s*['\"]?(?P<value>{spelled})\b", re.IGNORECASE)
        found += [(name, match["no"] is None, match["value"]) for match in said.finditer(text)]
    return found


def follows(claim: Claim, worlds: list[World]) -> bool:
    """It holds in every solution."""
    name, positive, value = claim
    return all((str(world[name]).casefold() == value.casefold()) is positive for world in worlds)


PUZZLE = {"variables": {"Ann": ["cat", "dog"], "Ben": ["cat", "dog"]}, "constraints": ["Ann != Ben", "Ben != 'cat'"]}
LOGIC_STEPS = RewardFunction(
    description=(
        "1 when the answer names every variable's value, and each of these and each claim of the reasoning follows "
        "from the row's constraints, else 0."
    ),
    parameters=LogicSteps,
    examples=(
        Example("<think>Ben is not cat, so Ben is dog</think><answer>Ann = cat, Ben = dog</answer>", 1.0, PUZZLE, {}),
        Example("<think>Ben is cat</think><answer>Ann = cat, Ben = dog</answer>", 0.0, PUZZLE, {}),
        Example("<answer>Ann = cat</answer>", 0.5, PUZZLE, {"partial": True}),
    ),
    open=open_logic_steps,
)
