# SPDX-License-Identifier: GPL-2.0-or-later
"""Every option that crmsh, pcs, Hawk, agents and exporters were seen to use is known by its tool; and every command
has a manual, made from the parser that it is run with."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import tomllib
from pathlib import Path

import pytest

from ha.cli.manuals.commands import docs
from ha.cli.manuals.completion import for_bash
from ha.cli.manuals.content import DAEMON_METADATA, PARSERS, Manual, commands, manual
from ha.cli.manuals.man_page import man_page

USED: dict[str, str] = {
    "attrd_updater": "-n -U -v -B -d -p -N -l -D -Q -A -R -Y --name --update --delete --query --node --delay "
                     "--private",
    "cibadmin": "-Q -l -o -p -P -R -C -M -c -D -d -B -u -E -n -t -X -x -A -V -! --local --query --scope --xpath "
                "--patch --verbose --xml-pipe --replace --xml-file --xml-text --modify --allow-create --delete "
                "--delete-all --force --upgrade --create --bump --no-children --timeout --user",
    "crm_attribute": "-t -N -n -v -G -D -z -l -q -P -p -s -d --type --node --name --query --delete --update --lifetime "
                     "--quiet --promotion --attr-name --delete-attr --attr-value --get-value --output-as --pattern",
    "crm_diff": "--no-version -o -n -u -O -N -p --original --new --patch",
    "crm_error": "-X -l",
    "crm_failcount": "-D -G -r -N",
    "crm_master": "-l -v -D -Q -G -r -N",
    "crm_mon": "-1 -r -n -o -t -f -V -Q -s -c -D -R -b -j -A -L -m -X -d -i -p -h --one-shot --inactive --output-as "
               "--output-to --as-html --as-xml --show-detail --show-node-attributes --failcounts --fence-history "
               "--help-all --hide-headers --pending --pid-file --daemonize --simple-status",
    "crm_node": "-n -i -l -p -q -R --name --list --force --remove --quorum --partition --cluster-id --name-for-id",
    "crm_resource": "-L -l -O -o -N -r -q -w -W -a -A -Y -g -p -d -v -m -z -Q -M -B -U -C -R -F -D -t -u -n -I -T -f "
                    "-e --list --list-standards --list-ocf-providers --list-ocf-alternatives --list-agents "
                    "--show-metadata --list-operations --locate --query-xml --query-xml-raw --meta --utilization "
                    "--resource --set-parameter --parameter-value --delete-parameter --get-parameter --quiet --move "
                    "--node --clear --ban --master --promoted --lifetime --expired --cleanup --refresh --operation "
                    "--interval --force --wait --timeout --restart --force-start --force-stop --force-check "
                    "--force-promote --force-demote --digests --output-as --output-to --validate --class --agent "
                    "--provider --option --help-all --why --constraints --stack --recursive --delete --resource-type",
    "crm_rule": "--check --rule --xml-text --date -c -r -X -d",
    "crm_shadow": "-b -f -c -e -r -C -D -d -s -w -p -E -F --create --batch --force --commit --display --diff",
    "crm_simulate": "-S -x -D -s -U -L -j -V -I -R -F -G -O -X -p -t -i -u -d -f -e -c -g -r -b -w --simulate "
                    "--save-output --save-graph --save-dotfile --save-input --xml-pipe --xml-file --live-check "
                    "--ticket-grant --ticket-revoke --show-scores --show-utilization --profile --run",
    "crm_standby": "-N -v -D -G -l -q --node --update --delete --query --lifetime",
    "crm_ticket": "-t -g -r -s -a -G -D -S -v -l -q -c -w -C -d --force --quiet --attr-value --details --ticket "
                  "--grant --revoke --set-attr --get-attr --delete-attr --query-xml",
    "crm_verify": "-V -p -L -x -X -S --live-check --xml-file --xml-pipe --xml-text --save-xml --verbose",
    "crmadmin": "-D -S -N -P -t -q --dc_lookup --status --nodes",
    "iso8601": "-d -n -p -D -L -E -s -S -O -W --date --period --duration",
    "pacemakerd": "--features -F -$ --version -S --shutdown",
    "stonith_admin": "-L -l -F -B -C -H -I -M -a -K -U -t -o -y -c -b -T --confirm --history --verbose --cleanup "
                     "--broadcast --validate --output-as --agent --option --help-all --reboot --tag --fence --metadata",
}  # fmt: skip
"""Tool -> options, by traces of crmsh 4.4.1 and pcs 0.11.5 and the sources of Hawk, ha_cluster_exporter,
resource-agents, booth and sbd."""

SCRIPTS = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]["scripts"]


def parser_of(tool: str) -> argparse.ArgumentParser:
    found = importlib.import_module(PARSERS.get(tool, f"ha.cli.{tool}")).parser()
    assert isinstance(found, argparse.ArgumentParser)
    return found


@pytest.mark.parametrize("tool", USED)
def test_every_option_that_clients_use_is_known(tool: str) -> None:
    parser = parser_of(tool)
    known = set(parser._option_string_actions)
    by_prefix = parser.allow_abbrev
    whole = [option for option in USED[tool].split() if option not in known]
    missing = [option for option in whole if not by_prefix or not option.startswith("--")
               or not any(name.startswith(option) for name in known)]  # fmt: skip
    assert not missing, f"{tool} does not know {' '.join(missing)}"


def test_every_command_is_installed_and_entered_alike() -> None:
    assert set(commands()) == set(SCRIPTS)
    for name, entry in SCRIPTS.items():
        assert name == "rmd" or entry == f"ha.cli.entry:{name.replace('-', '_')}", name


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_every_command_has_a_manual(name: str) -> None:
    made = manual(name)
    assert made.name == name and made.summary and made.usage.startswith(name)
    assert name in DAEMON_METADATA or any("--version" in item.names or "--help" in item.names for item in made.options)
    for part in every_part(made):
        assert part.summary, f"{part.name} says nothing of itself"
    page = man_page(made)
    assert page.startswith(f'.TH "{name.upper()}"') and f"{name.replace('-', chr(92) + '-')} \\- " in page
    assert not [line for line in page.splitlines() if line.startswith("'")], "text that troff would take for a request"


def every_part(made: Manual) -> list[Manual]:
    return [made, *(below for part in made.parts for below in every_part(part))]


def test_man_pages_are_written(tmp_path: Path) -> None:
    from click.testing import CliRunner

    assert CliRunner().invoke(docs, ["man", str(tmp_path)]).exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.8" for name in SCRIPTS}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ha cluster in", {"init", "invite"}),
        ("ha config ", {"check"}),
        ("crm_attribute --lifetime ", {"reboot", "forever"}),
        ("crm_node --quo", {"--quorum"}),
        ("cl_status node", {"nodestatus", "nodetype", "nodeweight", "nodesite"}),
    ],
)
def test_bash_completes(line: str, expected: set[str], tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(for_bash([manual(name) for name in ("ha", "crm_attribute", "crm_node", "cl_status")]))
    words = line.split(" ")
    quoted = " ".join(word or "''" for word in words)
    run = (
        f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
        f'_ha_complete {words[0]}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", run], text=True, capture_output=True, check=True, timeout=60)
    assert expected <= set(done.stdout.split()), done
    assert all(word.startswith(words[-1]) for word in done.stdout.split())
