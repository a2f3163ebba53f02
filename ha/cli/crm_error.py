# SPDX-License-Identifier: GPL-2.0-or-later
"""`crm_error`: what an exit code or an error number of the tools means.

Source: the tables that `crm_error --list` of Pacemaker 2.1.5 prints; errors of the system are the system's own.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Iterator, Sequence

from ha.cli.exit_codes import WORDS, Exit, words
from ha.cli.output.result import add_output_options, add_version, emit

PROGRAM = "crm_error"
_MAX_ERRNO = 133

EXIT_NAMES = {
    Exit.INVALID_PARAMETER: "INVALID_PARAM", Exit.UNIMPLEMENTED: "UNIMPLEMENT_FEATURE",
    Exit.NO_PRIVILEGE: "INSUFFICIENT_PRIV", Exit.DATA_ERROR: "DATAERR", Exit.NO_INPUT: "NOINPUT",
    Exit.NO_USER: "NOUSER", Exit.NO_HOST: "NOHOST", Exit.OS_ERROR: "OSERR", Exit.NO_SYSTEM_FILE: "OSFILE",
    Exit.CANNOT_CREATE: "CANTCREAT", Exit.IO_ERROR: "IOERR", Exit.TRY_AGAIN: "TEMPFAIL",
    Exit.NO_PERMISSION: "NOPERM", Exit.CONFIGURATION: "CONFIG", Exit.NOT_CONNECTED: "DISCONNECT",
    Exit.NO_SUCH_OBJECT: "NOSUCH",
}  # fmt: skip
"""Where the exit code's symbol in C is not ours with CRM_EX_ before it."""

RETURN_CODES = {
    -1001: ("error", "Error"), -1002: ("unknown_format", "Unknown output format"),
    -1003: ("bad_nvpair", "Bad name/value pair given"), -1004: ("already", "Already in requested state"),
    -1005: ("node_unknown", "Node not found"), -1006: ("multiple", "Resource active on multiple nodes"),
    -1007: ("cib_corrupt", "Could not parse on-disk configuration"),
    -1008: ("cib_save", "Could not save new configuration to disk"),
    -1009: ("cib_backup", "Could not archive previous configuration"),
    -1010: ("cib_modified", "On-disk configuration was manually modified"),
    -1011: ("diff_resync", "Application of update diff failed, requesting full refresh"),
    -1012: ("diff_failed", "Application of update diff failed"),
    -1013: ("old_data", "Update was older than existing configuration"),
    -1014: ("transform_failed", "Schema transform failed"),
    -1015: ("schema_unchanged", "Schema is already the latest available"),
    -1016: ("schema_validation", "Update does not conform to the configured schema"),
    -1017: ("no_quorum", "Operation requires quorum"),
    -1018: ("ipc_unauthorized", "IPC server is blocked by unauthorized process"),
    -1019: ("ipc_unresponsive", "IPC server is unresponsive"),
    -1020: ("ipc_pid_only", "IPC server process is active but not accepting connections"),
    -1021: ("op_unsatisfied", "Not applicable under current conditions"),
    -1022: ("undetermined", "Result undetermined"), -1023: ("before_range", "Result occurs before given range"),
    -1024: ("within_range", "Result occurs within given range"),
    -1025: ("after_range", "Result occurs after given range"),
    -1026: ("no_output", "Output message produced no output"), -1027: ("no_input", "Input file not available"),
    -1028: ("underflow", "Value too small to be stored in data type"),
    -1029: ("dot_error", "Error writing dot(1) file"), -1030: ("graph_error", "Error writing graph file"),
    -1031: ("invalid_transition", "Cluster simulation produced invalid transition"),
    -1032: ("unpack_error", "Unable to parse CIB XML"),
    -1033: ("duplicate_id", "Two or more XML elements have the same ID"),
}  # fmt: skip

LEGACY_CODES = {
    201: ("generic", -1001), 202: ("no_quorum", -1017), 203: ("schema_validation", -1016),
    204: ("transform_failed", -1014), 205: ("old_data", -1013), 206: ("diff_failed", -1012),
    207: ("diff_resync", -1011), 208: ("cib_modified", -1010), 209: ("cib_backup", -1009), 210: ("cib_save", -1008),
    212: ("cib_corrupt", -1007), 213: ("multiple", -1006), 214: ("node_unknown", -1005), 215: ("already", -1004),
    216: ("bad_nvpair", -1003), 217: ("unknown_format", -1002),
}  # fmt: skip
"""Legacy number -> (symbol, the return code of the same meaning)."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog=PROGRAM, description="Say what an error or exit code of the tools means.")
    add_version(p)
    add_output_options(p, "text", "xml")
    p.add_argument("-n", "--name", action="store_true", help="print its symbol, too")
    p.add_argument("-l", "--list", action="store_true", help="list all (the default without a code)")
    kind = p.add_mutually_exclusive_group()
    kind.add_argument("-X", "--exit", action="store_true", help="the codes are exit codes")
    kind.add_argument("-r", "--rc", action="store_true", help="the codes are return codes of the library")
    p.add_argument("-V", "--verbose", action="count", default=0)
    p.add_argument("codes", nargs="*", metavar="CODE", help="after --, if negative")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    request = list(sys.argv[1:] if argv is None else argv)
    try:
        options = parser().parse_args(request)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    kind = "exit" if options.exit else "rc" if options.rc else "legacy"
    listing = options.list or not options.codes
    codes = list(known(kind)) if listing else [_number(text) for text in options.codes]
    lines, elements = [], []
    for code in codes:
        name, description = meaning(kind, code)
        attributes = {"code": str(code), **({"name": name} if options.name else {}), "description": description}
        elements.append(("result-code", attributes))
        if listing:
            lines.append(f"{code:5}: {name:<27} {description}" if options.name else f"{code:5}: {description}")
        else:
            lines.append(f"{name} - {description}" if options.name else description)
    return emit(options, [PROGRAM, *request], lines, elements)


def _number(text: str) -> int:
    """What is no number is an unknown error, as for Pacemaker's."""
    try:
        return int(text)
    except ValueError:
        return -1001


def known(kind: str) -> Iterator[int]:
    """Every code of a kind ("exit", "rc", "legacy"), in the order of listings."""
    if kind == "exit":
        yield from sorted(WORDS)
        return
    if kind == "rc":
        yield from sorted(RETURN_CODES)
    yield 0
    yield from (code for code in sorted(errno.errorcode) if code <= _MAX_ERRNO)
    if kind == "legacy":
        yield from LEGACY_CODES


def meaning(kind: str, code: int) -> tuple[str, str]:
    """(symbol, description) of a code."""
    if kind == "exit":
        if code not in WORDS:
            return "CRM_EX_UNKNOWN", words(code)
        return f"CRM_EX_{EXIT_NAMES.get(Exit(code), Exit(code).name)}", words(code)
    if kind == "rc" and code in RETURN_CODES:
        name, description = RETURN_CODES[code]
        return f"pcmk_rc_{name}", description
    if code == 0:
        return "pcmk_rc_ok" if kind == "rc" else "pcmk_ok", "OK"
    code = abs(code)
    if kind == "legacy" and code in LEGACY_CODES:
        name, same_as = LEGACY_CODES[code]
        return f"pcmk_err_{name}", RETURN_CODES[same_as][1]
    if code in errno.errorcode:
        return errno.errorcode[code], os.strerror(code)
    return "Unknown", "Error" if code == 1001 else "Unknown error"
