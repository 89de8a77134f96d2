"""`calculate_output` of a multi grader: arithmetic over the graders' names; Python's parser reads it, nothing runs it.

+ − * / ^ and min, max, abs, floor, ceil, exp, sqrt, log, as OpenAI's guide lists them.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping

LENGTH_AT_MOST = 2000  # characters
FUNCTIONS: dict[str, tuple[Callable[..., float], int]] = {  # and the least number of arguments
    "min": (min, 2),
    "max": (max, 2),
    "abs": (abs, 1),
    "floor": (math.floor, 1),
    "ceil": (math.ceil, 1),
    "exp": (math.exp, 1),
    "sqrt": (math.sqrt, 1),
    "log": (math.log, 1),
}
OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
}


class BadFormula(ValueError):
    """It cannot be read."""


class NoResult(Exception):
    """It has no finite value for these scores."""


class Formula:
    """A formula over the given names. Raises BadFormula."""

    def __init__(self, text: str, names: set[str]) -> None:
        if len(text) > LENGTH_AT_MOST:
            raise BadFormula(f"it has {len(text):,} characters; the limit is {LENGTH_AT_MOST:,}")
        if "**" in text:
            raise BadFormula("write ^ for powers")
        try:
            self.tree = ast.parse(text.strip().replace("^", "**"), mode="eval").body
            self.used = set(self._names(self.tree, names))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise error if isinstance(error, BadFormula) else BadFormula("it is not valid arithmetic") from error

    def __call__(self, scores: Mapping[str, float]) -> float:
        """Raises NoResult."""
        try:
            value = float(self._value(self.tree, scores))
        except (ArithmeticError, ValueError, RecursionError) as error:
            raise NoResult(f"{type(error).__name__}: {error}") from error
        if not math.isfinite(value):
            raise NoResult(f"its value is {value}")
        return value

    def _names(self, node: ast.expr, names: set[str]) -> list[str]:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return []
            case ast.Name(id=name) if name in names:
                return [name]
            case ast.Name(id=name):
                raise BadFormula(f"there is no grader {name!r}; there are: {', '.join(sorted(names))}")
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                return self._names(operand, names)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                return self._names(left, names) + self._names(right, names)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
                least = FUNCTIONS[name][1]
                if len(arguments) < least or (least == 1 and len(arguments) != 1):
                    raise BadFormula(f"{name} takes {least} argument{'s or more' if least > 1 else ''}")
                return [found for argument in arguments for found in self._names(argument, names)]
        allowed = f"numbers, the graders' names, + - * / ^ and {', '.join(FUNCTIONS)}"
        raise BadFormula(f"{ast.unparse(node)!r} is not allowed: only {allowed}")

    def _value(self, node: ast.expr, scores: Mapping[str, float]) -> float:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name):
                return scores[name]
            case ast.UnaryOp(op=op, operand=operand):
                value = self._value(operand, scores)
                return -value if isinstance(op, ast.USub) else value
            case ast.BinOp(left=left, op=operation, right=right):
                return OPERATORS[type(operation)](self._value(left, scores), self._value(right, scores))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return FUNCTIONS[name][0](*(self._value(argument, scores) for argument in arguments))
        raise AssertionError(ast.dump(node))
