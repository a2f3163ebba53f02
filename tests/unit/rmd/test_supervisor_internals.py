# SPDX-License-Identifier: GPL-2.0-or-later
"""The inner names of supervisor that rmd overrides or calls: a new release that lacks one is noticed here.

supervisor promises none of them: that is why its minor release is pinned in pyproject.toml.
"""

from __future__ import annotations

import inspect

import pytest
from supervisor import loggers, options, process, supervisord
from supervisor.medusa import asyncore_25


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (options.ServerOptions, "_processes_from_section", ["self", "parser", "section", "group_name", "klass"]),
        (options.ServerOptions, "usage", ["self", "msg"]),
        (options.ServerOptions, "fork", ["self"]),
        (options.ServerOptions, "setsignals", ["self"]),
        (options.ServerOptions, "make_logger", ["self"]),
        (options.ServerOptions, "openhttpservers", ["self", "supervisord"]),
        (options.ServerOptions, "get_socket_map", ["self"]),
        (options.ServerOptions, "set_rlimits_or_exit", ["self"]),
        (options.ProcessConfig, "make_process", ["self", "group"]),
        (process.Subprocess, "get_execv_args", ["self"]),
        (process.Subprocess, "spawn", ["self"]),
        (process.Subprocess, "_spawn_as_parent", ["self", "pid"]),
        (process.Subprocess, "_spawn_as_child", ["self", "filename", "argv"]),
        (process.Subprocess, "_prepare_child_fds", ["self"]),
        (process.Subprocess, "set_uid", ["self"]),
        (process.Subprocess, "finish", ["self", "pid", "sts"]),
        (process.Subprocess, "give_up", ["self"]),
        (process.Subprocess, "transition", ["self"]),
        (process.Subprocess, "change_state", ["self", "new_state", "expected"]),
        (process.Subprocess, "stop", ["self"]),
        (supervisord.Supervisor, "run", ["self"]),
        (supervisord.Supervisor, "runforever", ["self"]),
        (supervisord.Supervisor, "reap", ["self", "once", "recursionguard"]),
        (supervisord.Supervisor, "handle_signal", ["self"]),
        (supervisord.Supervisor, "tick", ["self", "now"]),
        (supervisord.Supervisor, "add_process_group", ["self", "config"]),
        (supervisord.Supervisor, "remove_process_group", ["self", "name"]),
        (supervisord.Supervisor, "ordered_stop_groups_phase_1", ["self"]),
        (supervisord.Supervisor, "ordered_stop_groups_phase_2", ["self"]),
        (supervisord.Supervisor, "shutdown_report", ["self"]),
        (supervisord.Supervisor, "get_process_map", ["self"]),
        (loggers.Handler, "emit", ["self", "record"]),
    ],
)
def test_supervisor_has_what_rmd_builds_on(owner: type, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


def test_the_loop_of_its_sockets_is_a_dictionary_by_descriptor() -> None:
    assert isinstance(asyncore_25.socket_map, dict)
    assert issubclass(asyncore_25.ExitNow, Exception)
