"""What can be said of a grader's source without running it: syntax, and whether it has the function that is called."""

import ast

CALLED = ("grade", "reward")
LOOKED_AT = 16_384  # characters; parsing takes time and memory, and the sandbox reads the longer ones anyway


def check(source: str, called: tuple[str, ...] = CALLED) -> None:
    """Raises ValueError with the line of a syntax error, or when none of the functions is there."""
    if len(source) > LOOKED_AT:
        return
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        where = f"line {error.lineno} of the source" if error.lineno else "the source"
        raise ValueError(f"{where} is not valid Python: {error.msg}") from error
    except (ValueError, MemoryError, RecursionError) as error:
        raise ValueError(f"the source is not valid Python: {str(error) or 'nested too deeply'}") from error
    if not {name for node in ast.walk(tree) for name in names(node)}.isdisjoint(called):
        return
    if called != CALLED:
        raise ValueError(f"the source does not define `def {called[0]}(…)`. Define it: it is called with the arguments")
    raise ValueError(
        "the source defines neither `def grade(sample, item)` nor `def reward(prompt, completion, example)`. Define "
        "one of them: it is called for each completion"
    )


def names(node: ast.AST) -> list[str]:
    """What a statement may bind."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Name(id=name, ctx=ast.Store()):
            return [name]
        case ast.alias(name=name, asname=other):
            return [other or name]
    return []
