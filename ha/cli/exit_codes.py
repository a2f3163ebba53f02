# SPDX-License-Identifier: GPL-2.0-or-later
"""Exit codes of all commands, with their words. Source: the table that pcs, crmsh and agents rely on."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    OK = 0
    ERROR = 1
    INVALID_PARAMETER = 2
    UNIMPLEMENTED = 3
    NO_PRIVILEGE = 4
    NOT_INSTALLED = 5
    NOT_CONFIGURED = 6
    NOT_RUNNING = 7
    PROMOTED = 8
    FAILED_PROMOTED = 9
    USAGE = 64
    DATA_ERROR = 65
    NO_INPUT = 66
    NO_USER = 67
    NO_HOST = 68
    UNAVAILABLE = 69
    SOFTWARE = 70
    OS_ERROR = 71
    NO_SYSTEM_FILE = 72
    CANNOT_CREATE = 73
    IO_ERROR = 74
    TRY_AGAIN = 75
    PROTOCOL = 76
    NO_PERMISSION = 77
    CONFIGURATION = 78
    FATAL = 100
    PANIC = 101
    NOT_CONNECTED = 102
    OLD = 103
    DIGEST = 104
    NO_SUCH_OBJECT = 105
    QUORUM = 106
    UNSAFE = 107
    EXISTS = 108
    MULTIPLE = 109
    EXPIRED = 110
    NOT_YET_IN_EFFECT = 111
    INDETERMINATE = 112
    UNSATISFIED = 113
    TIMEOUT = 124
    DEGRADED = 190
    DEGRADED_PROMOTED = 191
    NONE = 193


WORDS: dict[int, str] = {
    Exit.OK: "OK",
    Exit.ERROR: "Error occurred",
    Exit.INVALID_PARAMETER: "Invalid parameter",
    Exit.UNIMPLEMENTED: "Unimplemented",
    Exit.NO_PRIVILEGE: "Insufficient privileges",
    Exit.NOT_INSTALLED: "Not installed",
    Exit.NOT_CONFIGURED: "Not configured",
    Exit.NOT_RUNNING: "Not running",
    Exit.PROMOTED: "Promoted",
    Exit.FAILED_PROMOTED: "Failed in promoted role",
    Exit.USAGE: "Incorrect usage",
    Exit.DATA_ERROR: "Invalid data given",
    Exit.NO_INPUT: "Input file not available",
    Exit.NO_USER: "User does not exist",
    Exit.NO_HOST: "Host does not exist",
    Exit.UNAVAILABLE: "Necessary service unavailable",
    Exit.SOFTWARE: "Internal software bug",
    Exit.OS_ERROR: "Operating system error occurred",
    Exit.NO_SYSTEM_FILE: "System file not available",
    Exit.CANNOT_CREATE: "Cannot create output file",
    Exit.IO_ERROR: "I/O error occurred",
    Exit.TRY_AGAIN: "Temporary failure, try again",
    Exit.PROTOCOL: "Protocol violated",
    Exit.NO_PERMISSION: "Insufficient privileges",
    Exit.CONFIGURATION: "Invalid configuration",
    Exit.FATAL: "Fatal error occurred, will not respawn",
    Exit.PANIC: "System panic required",
    Exit.NOT_CONNECTED: "Not connected",
    Exit.OLD: "Update was older than existing configuration",
    Exit.DIGEST: "Digest mismatch",
    Exit.NO_SUCH_OBJECT: "No such object",
    Exit.QUORUM: "Quorum required",
    Exit.UNSAFE: "Operation not safe",
    Exit.EXISTS: "Requested item already exists",
    Exit.MULTIPLE: "Multiple items match request",
    Exit.EXPIRED: "Requested item has expired",
    Exit.NOT_YET_IN_EFFECT: "Requested item is not yet in effect",
    Exit.INDETERMINATE: "Could not determine status",
    Exit.UNSATISFIED: "Not applicable under current conditions",
    Exit.TIMEOUT: "Timeout occurred",
    Exit.DEGRADED: "Service is active but might fail soon",
    Exit.DEGRADED_PROMOTED: "Service is promoted but might fail soon",
    Exit.NONE: "No exit status available",
}


def words(code: int) -> str:
    """What an exit code means, in a few words."""
    return WORDS.get(code, "Unknown exit status")
