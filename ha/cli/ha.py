# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha`: the command for people."""

from __future__ import annotations

import click

from ha import __version__


class LazyGroup(click.Group):
    """Imports a command when it is called: `ha --help` is quick."""

    COMMANDS = {
        "apphb": ("ha.cli.apphb", "apphb", "Who is watched on this node, and how well everybody is."),
        "apply": ("ha.cli.plan.commands", "apply", "Have a plan carried out, if the cluster is as it was then."),
        "cluster": ("ha.cli.cluster.commands", "cluster", "Make a cluster: the first node, and those that join it."),
        "config": ("ha.cli.config.check", "config", "The node's configuration."),
        "docs": ("ha.cli.manuals.commands", "docs", "Man pages and shell completion of all commands."),
        "explain": ("ha.cli.explain.command", "explain", "Why a resource is where it is, and what would move it."),
        "fencing": ("ha.cli.fencing.command", "fencing", "Which device would shoot whom, proved before it is needed."),
        "keys": ("ha.cli.keys", "keys", "The keys of the cluster, and changing them while it runs."),
        "log": ("ha.cli.log", "log", "What is logged on this node."),
        "membership": ("ha.cli.membership", "membership", "Who is there, and why somebody was taken for dead."),
        "metrics": ("ha.cli.metrics.command", "metrics", "The node and the cluster for a monitoring system."),
        "plan": ("ha.cli.plan.commands", "plan", "What a change would make the cluster do, before it is made."),
        "playground": ("ha.cli.playground.commands", "playground", "A whole cluster on this machine."),
        "report": ("ha.cli.report.command", "report", "The evidence of an incident in one file, without secrets."),
        "status": ("ha.cli.status", "status", "What runs where, what is wrong, and what to do about it."),
        "timeline": ("ha.cli.timeline.command", "timeline", "What happened in an incident, on all nodes, and when."),
    }

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(self.COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.COMMANDS:
            return None
        import importlib

        module, attribute, _ = self.COMMANDS[name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command), command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.COMMANDS[name][2]) for name in sorted(self.COMMANDS)])


@click.group(cls=LazyGroup)
@click.version_option(__version__, prog_name="ha")
def main() -> None:
    """Look at a Heartbeat cluster, check its configuration, and play with one on this machine."""


if __name__ == "__main__":
    main()
