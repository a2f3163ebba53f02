# SPDX-License-Identifier: GPL-2.0-or-later
"""Which process makes out a resource: what an order says of it."""

from __future__ import annotations

import re
from collections.abc import Mapping

PID_FILE_PARAMETER = re.compile(r"([a-z0-9]+_)?pid(_?file(_name)?)?", re.IGNORECASE)
"""How agents call the parameter that names their pid file: pidfile, pid, pid_file, squid_pidfile, catalina_pid ..."""


def pid_file(parameters: Mapping[str, str]) -> str:
    """The pid file that the parameters name, "" when they name none; `pidfile` goes before other names.

    It may be a parameter of the agent or one of the operation alone (`op monitor interval=10s pidfile=/run/x.pid`).
    """
    names = [name for name in sorted(parameters) if PID_FILE_PARAMETER.fullmatch(name)]
    names.sort(key=lambda name: name != "pidfile")
    return next((parameters[name] for name in names if parameters[name].startswith("/")), "")
