# SPDX-License-Identifier: GPL-2.0-or-later
"""The command lines of `ha plan` and `ha apply`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from ha.cib.msg import Write
from ha.cli.exit_codes import Exit
from ha.cli.idle import await_idle
from ha.cli.plan import edits
from ha.cli.plan.foresight import foresee
from ha.cli.plan.model import Plan, PlanError, Step, load
from ha.cli.source.cib import SourceError, connect, open_cib
from ha.cli.source.durations import DurationError, parse_duration
from ha.ipc.client import NotConnected
from ha.pe.model.document import CibError
from ha.root import Root

PROGRAM = "ha"

ROOT = click.option("--root", "prefix", help="The node's root directory (default: HA_ROOT, else this machine's own).")


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--edit", "edit", is_flag=True, help="Make the change in $EDITOR.")
@click.option("--cib", "file", type=click.Path(path_type=Path), help="The change is in this edited copy of the CIB.")
@click.option("--save", "save", type=click.Path(path_type=Path), metavar="FILE", help="Keep the plan for 'ha apply'.")
@click.option("--all", "everything", is_flag=True, help="Name probes and recurring monitors too.")
@ROOT
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def plan(
    edit: bool, file: Path | None, save: Path | None, everything: bool, prefix: str | None, command: tuple[str, ...]
) -> None:
    """What a change would make the cluster do: every action, in order, before anything is done.

    The change is made by any COMMAND that you would use on the cluster, at work on a copy of its CIB:

    \b
      ha plan crm_standby --node n1
      ha plan --save move.json -- crm_resource --move -r web -N n2
      ha plan -- crm configure property no-quorum-policy=freeze

    'ha apply FILE' then has the cluster do just that, and refuses when it has moved on since.
    """
    if sum((edit, file is not None, bool(command))) != 1:
        raise click.UsageError("say how the change is made: by a COMMAND, --edit, or --cib FILE")
    try:
        cib = open_cib(Root.choose(prefix), PROGRAM).read()
        if command:
            changed = edits.by_command(cib, command)
        else:
            changed = edits.from_file(file) if file is not None else edits.by_editor(cib)
        made = make_plan(cib, changed, int(time.time()))
        for line in describe(made, everything=everything):
            click.echo(line)
        if save is not None:
            made.save(save)
            click.echo(f"\nTo have it done: ha apply {save}")
    except (PlanError, SourceError) as error:
        _give_up("plan", str(error), error.code)
    except CibError as error:
        _give_up("plan", f"the CIB cannot be used: {error}", Exit.DATA_ERROR)


def make_plan(before: bytes, after: bytes, now_s: int) -> Plan:
    """Raises PlanError, CibError."""
    edit = edits.edit_between(before, after)
    seen = foresee(edit.cib, now_s)
    return Plan(revision=edit.revision, patch=edit.patch, summary=seen.summary, steps=seen.steps, rests=seen.rests)


def describe(made: Plan, *, everything: bool) -> Iterator[str]:
    if not made.patch:
        yield f"Nothing is changed in revision {made.revision}."
    else:
        yield f"Planned for revision {made.revision} of the CIB."
    if made.summary:
        yield ""
        yield from (f"  {line}" for line in made.summary)
    yield ""
    at_once = [step for step in made.steps if step.transition == 1]
    yield from _listed(at_once, "The cluster would do, in this order, or at the same time where it can:", everything)
    if not at_once:
        yield "The cluster would do nothing."
    later = [step for step in made.steps if step.transition > 1]
    yield from _listed(later, "And when it looks again (an event, or cluster-recheck-interval):", everything)
    if not made.rests:
        yield "The cluster would not come to rest by this: see 'crm_simulate -SL' and 'ha explain'."


def _listed(steps: list[Step], title: str, everything: bool) -> Iterator[str]:
    shown = [step for step in steps if everything or not step.is_minor]
    if steps:
        yield title
    yield from (f"  {number:>3}. {step}" for number, step in enumerate(shown, 1))
    if left := len(steps) - len(shown):
        yield f"       {left} probes, monitors and the like (--all names them)"


@click.command()
@click.option("--no-wait", is_flag=True, help="Do not wait until the cluster has done it.")
@click.option("--timeout", default="20min", show_default=True, help="How long to wait.")
@ROOT
@click.argument("file", type=click.Path(path_type=Path))
def apply(no_wait: bool, timeout: str, prefix: str | None, file: Path) -> None:
    """Have the plan in FILE carried out, provided that the cluster is as it was when the plan was made.

    Exit code 103 when it is not: nothing is changed then. 124 when it takes longer than --timeout.
    """
    root = Root.choose(prefix)
    try:
        patience_s = parse_duration(timeout)
        plan = load(file)
        if not plan.patch:
            click.echo("The plan changes nothing: nothing is done.")
            return
        click.echo(f"applied as revision {_apply(root, plan)}")
        if not no_wait:
            _await(root, patience_s, click.echo)
    except DurationError as error:
        _give_up("apply", f"--timeout: {error}", Exit.USAGE)
    except (PlanError, SourceError) as error:
        _give_up("apply", str(error), error.code)
    except NotConnected as error:
        _give_up("apply", str(error), Exit.NOT_CONNECTED)


def _apply(root: Root, plan: Plan) -> str:
    cib = connect(root, PROGRAM)
    written = cib.write(Write(request_id=cib.new_request_id(), operation="patch", xml=plan.patch))
    if written.rc == Exit.OLD:
        raise PlanError(Exit.OLD, f"{written.reason}: the cluster has moved on; make the plan anew")
    if written.outcome != "committed":
        raise PlanError(written.rc or Exit.ERROR, f"the change was {written.outcome}: {written.reason}")
    return str(written.version)


def _await(root: Root, patience_s: float, tell: Callable[[str], None]) -> None:
    began = time.monotonic()
    if not await_idle(root, began + patience_s):
        raise PlanError(Exit.TIMEOUT, f"the cluster was still busy after {patience_s:g} s; see 'ha status'")
    tell(f"the cluster has nothing left to do after {time.monotonic() - began:.1f} s")


def _give_up(command: str, text: str, code: int) -> None:
    click.echo(f"ha {command}: {text}", err=True)
    raise SystemExit(code)
