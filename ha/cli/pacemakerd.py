# SPDX-License-Identifier: GPL-2.0-or-later
"""`pacemakerd`: what its callers ask of it: version, features, an orderly stop. The daemon's own place is rmd's.

Source: pcsd and Hawk read the version, pcs the features.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from ha import __version__
from ha.cli.exit_codes import Exit
from ha.cli.output.result import add_output_options, emit

PROGRAM = "pacemakerd"
COMPATIBLE_VERSION = "2.1.5"
"""The release whose commands and schemas ours speak: clients compare it."""
FEATURE_SET = "3.16.2"
FEATURES = ("acls", "lsb-agents", "monotonic")


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog=PROGRAM, description="Versions of the cluster manager, and stopping it. It is started as rmd, by init."
    )
    order = p.add_mutually_exclusive_group()
    order.add_argument("-$", "--version", action="store_true", help="the release whose commands these are")
    order.add_argument("-F", "--features", action="store_true", help="the version with what it supports")
    order.add_argument("-S", "--shutdown", action="store_true", help="stop the cluster manager on this node in order")
    p.add_argument("--root", help="the node's root directory (default: HA_ROOT, else this machine's own)")
    p.add_argument("-V", "--verbose", action="count", default=0)
    for short, name in (("-f", "foreground"), ("-s", "standby")):
        p.add_argument(short, f"--{name}", action="store_true", help=argparse.SUPPRESS)
    p.add_argument("-p", "--pid-file", help=argparse.SUPPRESS)
    add_output_options(p, "text", "xml")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    request = list(sys.argv[1:] if argv is None else argv)
    try:
        options = parser().parse_args(request)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    request = [PROGRAM, *request]
    build = f"heartbeat-{__version__}"
    if options.version:
        item = {"program": "Pacemaker", "version": COMPATIBLE_VERSION, "author": "Heartbeat", "build": build,
                "features": " ".join(FEATURES)}  # fmt: skip
        return emit(options, request, [f"Pacemaker {COMPATIBLE_VERSION}", f"Heartbeat {__version__}"],
                    [("version", item)])  # fmt: skip
    if options.features:
        return features(options, request, build)
    if options.shutdown:
        return shutdown(options, request)
    mistake = (
        "Heartbeat is started by init (systemctl start heartbeat) or as rmd; see --help for what this command does"
    )
    return emit(options, request, [], code=Exit.USAGE, errors=[mistake])


def features(options: argparse.Namespace, request: Sequence[str], build: str) -> int:
    lines = [f"Pacemaker {COMPATIBLE_VERSION} (Build: {build})", f" Supporting v{FEATURE_SET}: {' '.join(FEATURES)}"]
    if options.output_as != "xml":
        return emit(options, request, lines)
    from lxml import etree

    element = etree.Element("pacemakerd", version=COMPATIBLE_VERSION, build=build, feature_set=FEATURE_SET)
    listed = etree.SubElement(element, "features")
    for feature in FEATURES:
        etree.SubElement(listed, "feature").text = feature
    return emit(options, request, lines, [element])


def shutdown(options: argparse.Namespace, request: Sequence[str]) -> int:
    """Ask rmd to stop, which moves the resources first. It does not wait for the end, as Pacemaker's does not."""
    from ha.rmd.io import pidfile
    from ha.root import Root, RootError

    try:
        pid = pidfile.holder(Root.choose(options.root).run_dir / "rmd.pid")
        if pid is None:
            raise ProcessLookupError
        os.kill(pid, signal.SIGTERM)
    except RootError as error:
        return emit(options, request, [], code=Exit.USAGE, errors=[str(error)])
    except ProcessLookupError:
        return emit(options, request, [], code=Exit.NOT_CONNECTED, errors=["Heartbeat does not run on this node"])
    except PermissionError:
        return emit(options, request, [], code=Exit.NO_PERMISSION, errors=["only root may stop Heartbeat"])
    return emit(options, request, [])
