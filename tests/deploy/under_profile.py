"""`python -m tests.deploy.under_profile PROFILE COMMAND…` runs a command under a container's seccomp profile.

Container runtimes pass the same rules to the same library, libseccomp, and leave out the names that it does not know.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pyseccomp


def action(rule: dict[str, Any]) -> int:
    return pyseccomp.ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else int(pyseccomp.ERRNO(rule.get("errnoRet", 1)))


def argument(condition: dict[str, Any]) -> Any:
    operator = getattr(pyseccomp, condition["op"].removeprefix("SCMP_CMP_"))
    return pyseccomp.Arg(condition["index"], operator, condition["value"], condition.get("valueTwo", 0))


def apply(profile: dict[str, Any]) -> None:
    """From here on this process and its children are under the profile."""
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(profile["defaultErrnoRet"]))
    for rule in profile["syscalls"]:
        for name in rule["names"]:
            try:
                number = pyseccomp.resolve_syscall(pyseccomp.system_arch(), name)
            except ValueError:
                continue
            rules.add_rule(action(rule), number, *map(argument, rule.get("args", [])))
    rules.load()


if __name__ == "__main__":
    apply(json.loads(Path(sys.argv[1]).read_text()))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 — the command is the tests' own
