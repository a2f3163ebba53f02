# SPDX-License-Identifier: GPL-2.0-or-later
"""`stonith_admin`: fence devices, fencing by hand, the history of fences.

Options and outputs are those of Pacemaker 2.1's that clients rely on: `-L` ends in "N fence devices found".
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from ha import __version__
from ha.cli.exit_codes import Exit, words
from ha.cli.fencing.history import moment

if TYPE_CHECKING:
    from ha.machine import Message
    from ha.root import Root
    from ha.stonith.msg import FenceAction, FenceEvent, FencingStatus

T = TypeVar("T")

PROGRAM = "stonith_admin"
DEFAULT_TIMEOUT_S = 120
MAX_TIMEOUT_S = 86_400
ANSWER_MARGIN_MS = 5_000
"""Beyond the fence's own time, for stonithd's answer."""
VALIDATE_TIMEOUT_S = 60
ACTIONS: dict[str, FenceAction] = {"fence": "off", "reboot": "reboot", "unfence": "on"}
DEFINITIONS = {
    "register": "devices are resources of class stonith: pcs stonith create, or crm configure primitive",
    "deregister": "devices are resources of class stonith: pcs stonith delete, or crm configure delete",
    "register_level": "levels are in the configuration: pcs stonith level add, or crm configure fencing_topology",
    "deregister_level": "levels are in the configuration: pcs stonith level remove, or crm configure fencing_topology",
}
POLL_S = 0.2
DEEDS = {"off": "turn off", "on": "turn on", "reboot": "reboot"}


class Refused(Exception):
    """The order cannot be carried out: exit code and a sentence."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(Exit.USAGE, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, description="Fence devices, fencing by hand, the history of fences.", add_help=False)
    parser.add_argument("--help", "--help-all", "-?", action="help", help="show this help")
    for part in ("output", "definition", "queries", "fence", "additional"):
        parser.add_argument(f"--help-{part}", action="help", help=argparse.SUPPRESS)
    parser.add_argument("--version", "-$", action="version", version=f"Heartbeat {__version__}")
    parser.add_argument("--root", help="the node's root directory (default: HA_ROOT, else the machine's own)")
    queries = parser.add_argument_group("queries")
    queries.add_argument("-L", "--list-registered", action="store_true", help="all devices of the configuration")
    queries.add_argument("-l", "--list", metavar="HOST", help="devices that can fence HOST")
    queries.add_argument("-s", "--list-targets", metavar="DEVICE", help="nodes that DEVICE can fence")
    queries.add_argument("-Q", "--query", metavar="DEVICE", help="try DEVICE from this node, harmlessly")
    queries.add_argument("-I", "--list-installed", action="store_true", help="fence agents on this machine")
    queries.add_argument("-M", "--metadata", action="store_true", help="an agent's meta-data; needs --agent")
    queries.add_argument("-H", "--history", metavar="NODE", help="fences of NODE (of all nodes: '*'), newest last")
    queries.add_argument("-h", "--last", metavar="NODE", help="when NODE was last fenced")
    queries.add_argument("-K", "--validate", action="store_true", help="check a device's options; needs --agent")
    fencing = parser.add_argument_group("fencing")
    fencing.add_argument("-F", "--fence", metavar="HOST", help="cut the power of HOST")
    fencing.add_argument("-B", "--reboot", metavar="HOST", help="power-cycle HOST")
    fencing.add_argument("-U", "--unfence", metavar="HOST", help="switch HOST on")
    fencing.add_argument("-C", "--confirm", metavar="HOST", help="vouch that HOST is down")
    definition = parser.add_argument_group(
        "definition", "Devices and levels are part of the configuration; these refuse and say which command changes it."
    )
    definition.add_argument("-R", "--register", metavar="DEVICE")
    definition.add_argument("-D", "--deregister", metavar="DEVICE")
    definition.add_argument("-r", "--register-level", metavar="TARGET")
    definition.add_argument("-d", "--deregister-level", metavar="TARGET")
    more = parser.add_argument_group("more")
    more.add_argument("-a", "--agent", help="the fence agent, for --metadata and --validate")
    more.add_argument("-o", "--option", metavar="NAME=VALUE", action="append", default=[], help="for --validate")
    more.add_argument("-e", "--env-option", metavar="NAME", action="append", default=[],
                      help="for --validate: with the value of OCF_RESKEY_NAME")  # fmt: skip
    more.add_argument("-v", "--device", metavar="ID", action="append", default=[], help="for --validate: its name")
    more.add_argument("-i", "--index", metavar="LEVEL", help=argparse.SUPPRESS)
    more.add_argument("-c", "--cleanup", action="store_true", help="with --history: forget it")
    more.add_argument("-b", "--broadcast", action="store_true", help="no effect: every node knows the whole history")
    more.add_argument("-t", "--timeout", type=_seconds, default=DEFAULT_TIMEOUT_S, help="seconds (default 120)")
    more.add_argument("-y", "--delay", type=_seconds, default=0, help="seconds before a fence begins")
    more.add_argument("--tolerance", type=_seconds, default=0, help="do nothing if done in the last so many seconds")
    more.add_argument("-T", "--tag", default="", help="names who asks, in logs and history")
    more.add_argument("-n", "--as-node-id", action="store_true", help=argparse.SUPPRESS)
    more.add_argument("-q", "--quiet", action="store_true", help="print values only")
    more.add_argument("-V", "--verbose", action="count", default=0, help="more detail")
    more.add_argument("--output-as", choices=("text", "xml", "none"), default="text")
    more.add_argument("--output-to", metavar="FILE", default="-", help='"-" is standard output')
    return parser


def _seconds(text: str) -> int:
    number = text[:-1] if text.endswith("s") else text
    if not number.isascii() or not number.isdigit() or int(number) > MAX_TIMEOUT_S:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds up to {MAX_TIMEOUT_S}")
    return int(number)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = parser().parse_args(argv)
    if options.output_to == "-":
        return _run(options, argv)
    try:
        with Path(options.output_to).open("w") as out, contextlib.redirect_stdout(out):
            return _run(options, argv)
    except OSError as problem:
        print(f"{PROGRAM}: {options.output_to}: {problem.strerror}", file=sys.stderr)
        return Exit.CANNOT_CREATE


def _run(options: argparse.Namespace, argv: Sequence[str] | None) -> int:
    from ha.cli.output.xml_result import XmlResult
    from ha.ipc.client import NotConnected, TimedOut
    from ha.root import Root, RootError

    request = [PROGRAM, *(argv if argv is not None else sys.argv[1:])]
    result = XmlResult(request) if options.output_as == "xml" else None
    code, error = 0, ""
    try:
        code = _Command(options, Root.choose(options.root), result).run()
    except Refused as refusal:
        code, error = refusal.code, str(refusal)
    except RootError as problem:
        code, error = Exit.USAGE, str(problem)
    except TimedOut as problem:
        code, error = Exit.TIMEOUT, str(problem)
    except NotConnected as problem:
        code, error = Exit.NOT_CONNECTED, str(problem)
    if result is not None:
        print(result.finish(code, words(code), [error] if error else []), end="")
    elif error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
    return code


class _Command:
    """One run of the command. `xml` collects the answer when it is to be XML."""

    def __init__(self, options: argparse.Namespace, root: Root, xml: object) -> None:
        from ha.cli.output.xml_result import XmlResult

        self.options = options
        self.root = root
        self.xml = xml if isinstance(xml, XmlResult) else None

    def run(self) -> int:
        options = self.options
        for name in ("fence", "reboot", "unfence"):
            target = getattr(options, name)
            if target is not None:
                return self._fence(target, ACTIONS[name])
        if options.confirm is not None:
            return self._confirm(options.confirm)
        if options.list_registered:
            return self._list("")
        if options.list is not None:
            return self._list(options.list)
        if options.list_installed:
            return self._installed()
        if options.list_targets is not None:
            return self._targets(options.list_targets)
        if options.query is not None:
            return self._query(options.query)
        if options.history is not None:
            return self._history(options.history)
        if options.last is not None:
            return self._last(options.last)
        if options.metadata or options.validate:
            if not options.agent:
                raise Refused(Exit.USAGE, "name the fence agent with --agent")
            return self._metadata() if options.metadata else self._validate()
        for name, remedy in DEFINITIONS.items():
            if getattr(options, name) is not None:
                raise Refused(Exit.UNIMPLEMENTED, f"--{name.replace('_', '-')}: {remedy}")
        raise Refused(Exit.USAGE, "say what to do, for example -L or --history '*' (--help shows all)")

    def say(self, text: str) -> None:
        if self.options.output_as == "text":
            print(text)

    def _ask(
        self, kind: type[T], message_of: Callable[[str], Message], worker: str = "stonithd", timeout_ms: int = 0
    ) -> T:
        """The answer, of type `kind`; `message_of` makes the question from a request id."""
        from ha.ipc.client import Connection, NotConnected

        with Connection.open(self.root, worker, program=self.options.tag or PROGRAM) as link:
            answer = link.ask(message_of(link.new_request_id()), timeout_ms or self.options.timeout * 1000)
        if not isinstance(answer, kind):
            raise NotConnected(f"{worker} answered {type(answer).__name__}: is it another version?")
        return answer

    # Fencing ---------------------------------------------------------------------------------------------------------

    def _fence(self, target: str, action: FenceAction) -> int:
        from ha.stonith.msg import Fenced, FenceNode

        options = self.options
        if options.tolerance and self._was_done(target, action, options.tolerance):
            return Exit.OK
        timeout_ms = options.timeout * 1000
        answer = self._ask(
            Fenced,
            lambda number: FenceNode(
                request_id=number, target=target, action=action, timeout_ms=timeout_ms, delay_ms=options.delay * 1000
            ),
            timeout_ms=timeout_ms + options.delay * 1000 + ANSWER_MARGIN_MS,
        )
        if answer.ok:
            return Exit.OK
        code = Exit.NO_SUCH_OBJECT if answer.reason.startswith("none of ") else Exit.ERROR
        raise Refused(code, f"{target} was not fenced ({action}): {answer.reason}")

    def _was_done(self, target: str, action: str, tolerance_s: int) -> bool:
        since = time.time() - tolerance_s
        return any(
            event.state == "success" and event.action == action and event.at_s >= since
            for event in self._events(target)
        )

    def _confirm(self, target: str) -> int:
        from ha.stonith.msg import ConfirmFenced, Fenced

        answer = self._ask(Fenced, lambda number: ConfirmFenced(request_id=number, target=target))
        return Exit.OK if answer.ok else Exit.ERROR

    # Devices ---------------------------------------------------------------------------------------------------------

    def _list(self, target: str) -> int:
        from ha.stonith.msg import Devices, ListDevices

        answer = self._ask(Devices, lambda number: ListDevices(request_id=number, target=target))
        self._print_list(answer.devices, "fence device")
        return Exit.OK

    def _targets(self, device: str) -> int:
        """Nodes that the device reaches, or may reach where only trying would tell."""
        from ha.stonith.msg import Devices, ListDevices

        def known(target: str) -> list[str]:
            return self._ask(Devices, lambda number: ListDevices(request_id=number, target=target)).devices

        if device not in known(""):
            raise Refused(Exit.NO_SUCH_OBJECT, f"there is no fence device {device}")
        nodes = [node.node for node in self._status().nodes]
        self._print_list([node for node in nodes if device in known(node)], "fence target")
        return Exit.OK

    def _status(self) -> FencingStatus:
        from ha.stonith.msg import FencingStatus, GetFencingStatus

        return self._ask(FencingStatus, lambda number: GetFencingStatus(request_id=number))

    def _query(self, device: str) -> int:
        """A drill of the device, as far as this node does it."""
        from ha.stonith.msg import DrillDevices, DrillsBegun

        begun = self._ask(DrillsBegun, lambda number: DrillDevices(request_id=number, device=device))
        here = (begun.order, device, self.root.node_name())
        if here[1:] not in begun.expected:
            raise Refused(Exit.NO_SUCH_OBJECT, f"there is no fence device {device} that this node may use")
        deadline = time.monotonic() + self.options.timeout
        status = self._status()
        while here not in status.orders:
            if time.monotonic() > deadline:
                raise Refused(Exit.TIMEOUT, f"{device} did not answer within {self.options.timeout} s")
            time.sleep(POLL_S)
            status = self._status()
        drill = next(drill for drill in status.drills if (drill.device, drill.node) == here[1:])
        wrong = next((check for check in drill.checks if not check.ok), None)
        if wrong is not None:
            raise Refused(Exit.ERROR, f"{device}: {wrong.action} failed: {wrong.reason}; {wrong.remedy}")
        return Exit.OK

    def _installed(self) -> int:
        """Fence agents, and Linux-HA plug-ins where cluster-glue is installed."""
        from ha.runner.places import AgentPlaces, list_agents
        from ha.stonith.io.plugins import list_external

        agents = list_agents(AgentPlaces.choose(self.root).fence, prefix="fence_")
        self._print_list([*agents, *list_external(self.root)], "fence device")
        return Exit.OK

    def _print_list(self, names: Sequence[str], what: str) -> None:
        for name in names:
            self.say(name if self.options.quiet else f" {name}")
        if not self.options.quiet:
            self.say(f"{len(names) or 'No'} {what}{'' if len(names) == 1 else 's'} found")
        if self.xml is not None:
            from lxml import etree

            listed = etree.SubElement(self.xml.root, "list", {"name": f"{what}s", "count": str(len(names))})
            for name in names:
                etree.SubElement(listed, "item").text = name

    def _metadata(self) -> int:
        from ha.lrm.msg import GetMetadata, Metadata

        agent = self.options.agent
        answer = self._ask(
            Metadata,
            lambda number: GetMetadata(request_id=number, agent_class="stonith", agent_type=agent),
            worker="lrmd",
        )
        if answer.rc != 0:
            raise Refused(Exit.NOT_INSTALLED if answer.rc == 5 else Exit.ERROR, f"{agent}: {answer.reason}")
        self.say(answer.xml.rstrip("\n"))
        if self.xml is not None:
            from lxml import etree

            etree.SubElement(self.xml.root, "metadata").text = answer.xml
        return Exit.OK

    def _validate(self) -> int:
        """By the agent itself, here and now: it needs no cluster."""
        import subprocess

        from ha.runner.places import AgentPlaces, agent_environment, find

        agent = self.options.agent
        path = find(AgentPlaces.choose(self.root).fence, agent)
        if path is None:
            raise Refused(Exit.NOT_INSTALLED, f"there is no fence agent {agent} on this machine")
        asked = self.options.option + [
            f"{name}={os.environ.get(f'OCF_RESKEY_{name}', '')}" for name in self.options.env_option
        ]
        given = [option for option in asked if "=" in option and "\n" not in option]
        if given != asked:
            raise Refused(Exit.USAGE, "--option takes NAME=VALUE, of one line")
        lines = "\n".join(["action=validate-all", *given, ""])
        try:
            done = subprocess.run(
                [str(path)], input=lines, capture_output=True, text=True, errors="replace", check=False,
                timeout=VALIDATE_TIMEOUT_S, env=agent_environment(self.root, os.uname().nodename),
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Refused(Exit.TIMEOUT, f"{agent} did not answer within {VALIDATE_TIMEOUT_S} s") from error
        valid = done.returncode == 0
        if not self.options.quiet:
            self.say(f"Validation of {agent} {'succeeded' if valid else 'failed'}")
            self.say((done.stdout + done.stderr).rstrip("\n"))
        if self.xml is not None:
            _validation(self.xml.root, agent, valid, done)
        return Exit.OK if valid else Exit.ERROR

    # History ---------------------------------------------------------------------------------------------------------

    def _events(self, target: str, *, forget: bool = False) -> list[FenceEvent]:
        from ha.stonith.msg import FenceHistory, ForgetFenceHistory, GetFenceHistory

        node = "" if target == "*" else target.lower()
        kind = ForgetFenceHistory if forget else GetFenceHistory
        answer = self._ask(FenceHistory, lambda number: kind(request_id=number, target=node))
        return answer.events

    def _history(self, target: str) -> int:
        if self.options.cleanup:
            self._events(target, forget=True)
            self.say(f"fencing-history of {'all nodes' if target == '*' else target} is forgotten on every node")
            return Exit.OK
        events = self._events(target)
        if not self.options.verbose and self.xml is None:
            events = [event for event in events if event.state == "success"][-1:]
        if self.options.quiet:
            for event in events:
                self.say(str(event.at_s))
            return Exit.OK
        for event in events:
            self.say(_sentence(event))
        self.say(f"{len(events) or 'No'} event{'' if len(events) == 1 else 's'} found")
        if self.xml is not None:
            _events_as_xml(self.xml.root, events)
        return Exit.OK

    def _last(self, target: str) -> int:
        done = [event for event in self._events(target) if event.state == "success" and event.action != "on"]
        if not done:
            self.say(f"Node {target} has never been fenced")
            return Exit.OK
        self.say(f"Node {target} last fenced at: {moment(done[-1].at_s)}")
        return Exit.OK


def _sentence(event: FenceEvent) -> str:
    whom = f"node {event.target} on behalf of {event.client} from {event.origin}"
    match event.state:
        case "pending":
            return f"{event.executor or event.origin} wishes to {DEEDS[event.action]} {whom}"
        case "success":
            by = f" (device {event.device})" if event.device else ""
            return f"{event.executor} was able to {DEEDS[event.action]} {whom} at {moment(event.at_s)}{by}"
        case "failed":
            return f"{event.origin} failed to {DEEDS[event.action]} {whom} at {moment(event.at_s)}: {event.reason}"


def _events_as_xml(root: object, events: Sequence[FenceEvent]) -> None:
    from lxml import etree

    from ha.cli.fencing.history import append_events

    assert isinstance(root, etree._Element)
    listed = etree.SubElement(root, "list", {"name": "Fencing history", "count": str(len(events))})
    append_events(listed, events)


def _validation(root: object, agent: str, valid: bool, done: object) -> None:
    import subprocess

    from lxml import etree

    assert isinstance(root, etree._Element)
    assert isinstance(done, subprocess.CompletedProcess)
    element = etree.SubElement(root, "validate", {"agent": agent, "valid": "true" if valid else "false"})
    command = etree.SubElement(element, "command", {"code": str(done.returncode)})
    for source, text in (("stdout", done.stdout), ("stderr", done.stderr)):
        if text:
            clean = "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)
            etree.SubElement(command, "output", {"source": source}).text = clean


if __name__ == "__main__":
    sys.exit(main())
