# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha cluster init`, `invite` and `join`: what is written, what is refused, and what never shows."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ha.cib.io.files import CibFiles
from ha.cli.cluster import own, plan
from ha.cli.cluster.commands import cluster
from ha.cli.cluster.invitation import InvitationError, invite, read_invitation, same_fingerprint
from ha.cli.cluster.placing import NewFile, PlacingError, place
from ha.cli.cluster.plan import Address, PlanError
from ha.cli.exit_codes import Exit
from ha.heartbeat.io.config import load_as_member, load_authkeys
from ha.heartbeat.model.ha_cf_parser import parse
from ha.root import Root

NODES = ["--node", "a=127.0.0.1:7001", "--node", "b=127.0.0.1:7002"]
AUTHKEYS = "auth 1\n1 chacha20-poly1305 " + "ab" * 32 + "\n"
HA_CF = "cluster c\nucast eth0 192.0.2.1\nucast eth0 192.0.2.2\nnode a b\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # short: sockets are named below it
        yield Path(name)


def call(*arguments: object, stdin: str = "") -> Result:
    return CliRunner().invoke(cluster, [str(argument) for argument in arguments], input=stdin)


def init(folder: Path, *more: object) -> Result:
    return call("init", "trial", *NODES, "--self", "a", "--root", folder / "a", *more)


def test_the_first_node_has_all_it_needs_and_the_second_the_same(folder: Path) -> None:
    assert init(folder).exit_code == 0
    asked = call("invite", "--root", folder / "a")
    fingerprint = asked.stderr.removeprefix("fingerprint: ").strip()
    joined = call("join", "-", "--fingerprint", fingerprint, "--bind", "127.0.0.1:7002", "--self", "B", "--root",
                  folder / "b", stdin=asked.stdout)  # fmt: skip
    assert joined.exit_code == 0, joined.output
    first, second = Root.choose(folder / "a"), Root.choose(folder / "b")
    assert load_as_member(first).cluster == load_as_member(second).cluster == "trial"
    assert load_authkeys(first) == load_authkeys(second) and load_authkeys(first).signing_key().encrypts
    assert (first.node_name(), second.node_name()) == ("a", "b")
    xml, records, notes = CibFiles(first.cib_dir).load()
    assert b'value="trial"' in xml and b'epoch="1"' in xml and records == () and notes == ()
    assert not (second.cib_dir / "cib.xml").exists(), "it has it from the cluster"
    modes = [oct(path.stat().st_mode & 0o777) for path in (first.authkeys, first.ha_cf, first.cib_dir / "cib.xml")]
    assert modes == ["0o600", "0o644", "0o600"]


def test_no_secret_is_shown_but_in_the_invitation(folder: Path) -> None:
    shown = init(folder, "--dry-run")
    assert shown.exit_code == 0 and "ucast lo 127.0.0.1:7002" in shown.stdout and "(keys, not shown)" in shown.stdout
    assert not (folder / "a").exists(), "a dry run writes nothing"
    said = init(folder).output
    secret = load_authkeys(Root.choose(folder / "a")).signing_key().secret.hex()
    assert secret not in said and secret not in shown.output
    assert call("invite", "--root", folder / "a", "--output", folder / "inv").exit_code == 0
    assert (folder / "inv").stat().st_mode & 0o777 == 0o600
    assert call("invite", "--root", folder / "a", "--output", folder / "inv").exit_code == Exit.CANNOT_CREATE


def test_nothing_is_overwritten(folder: Path) -> None:
    assert init(folder).exit_code == 0
    before = {path: path.read_bytes() for path in (folder / "a").rglob("*") if path.is_file()}
    again = init(folder)
    assert again.exit_code == Exit.EXISTS and "nothing was written" in again.stderr
    assert {path: path.read_bytes() for path in (folder / "a").rglob("*") if path.is_file()} == before


def test_who_joins_with_a_configuration_of_former_times_is_told(folder: Path) -> None:
    """Its version could be greater, and would then be the cluster's."""
    root = Root.choose(folder / "b")
    root.cib_dir.mkdir(parents=True)
    (root.cib_dir / "cib.xml").write_text("<cib/>")
    made = invite("c", "bindaddr 127.0.0.1:7002\nucast lo 127.0.0.1:7002\nnode b\n", AUTHKEYS)
    done = call("join", "-", "--fingerprint", made.fingerprint, "--bind", "127.0.0.1:7002", "--self", "b", "--root",
                root.prefix, stdin=made.to_text())  # fmt: skip
    assert done.exit_code == Exit.EXISTS and "cib.xml" in done.stderr
    assert not root.ha_cf.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("join", "-", "--self", "b"), Exit.USAGE, "--fingerprint"),
        (("join", "-", "--self", "b", "--fingerprint", "0000-1111"), Exit.DIGEST, "changed on"),
        (("join", "--self", "b"), Exit.USAGE, "--from HOST"),
        (("join", "/nowhere", "--self", "b"), Exit.NO_INPUT, "/nowhere"),
        (("join", "--from", "-oProxyCommand=x", "--self", "b"), Exit.USAGE, "no host"),
    ],
)
def test_an_invitation_is_not_taken_unseen(
    arguments: tuple[str, ...], code: int, words: str, folder: Path
) -> None:
    made = invite("c", HA_CF, AUTHKEYS)
    done = call(*arguments, "--root", folder / "b", stdin=made.to_text())
    assert done.exit_code == code and words in done.stderr
    assert not (folder / "b").exists()


def test_a_machine_without_an_address_of_the_cluster_does_not_join(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "is_own_address", lambda address: False)
    made = invite("c", HA_CF, AUTHKEYS)
    done = call("join", "-", "--fingerprint", made.fingerprint, "--self", "b", "--root", folder / "b",
                stdin=made.to_text())  # fmt: skip
    assert done.exit_code == Exit.USAGE and "none of the cluster's addresses (192.0.2.1, 192.0.2.2)" in done.stderr


def test_an_invitation_is_read_whole_or_not_at_all() -> None:
    made = invite("c", HA_CF, AUTHKEYS)
    text = made.to_text()
    assert read_invitation(text) == made
    assert read_invitation("\n".join([text[:40], text[40:], ""])) == made, "mail breaks lines"
    chance = random.Random(7)
    for _ in range(300):
        at = chance.randrange(len(text))
        broken = chance.choice([text[:at], text[:at] + chance.choice("Aa0-_=?ß\0") + text[at + 1 :], text + text[at:]])
        if broken != text:
            with pytest.raises(InvitationError) as caught:
                read_invitation(broken)
            assert "ab" * 8 not in str(caught.value), "an error quotes no secret"
    for garbage in ("", "x", "ha-cluster-1.", "ha-cluster-1." + "A" * 600_000, "ha-cluster-2." + text[13:]):
        with pytest.raises(InvitationError):
            read_invitation(garbage)


def test_an_invitation_of_files_that_cannot_be_used_is_refused() -> None:
    with pytest.raises(InvitationError, match=r"ha\.cf"):
        read_invitation(invite("c", "nonsense\n", AUTHKEYS).to_text())
    with pytest.raises(InvitationError, match="authkeys"):
        read_invitation(invite("c", HA_CF, "auth 2\n").to_text())


def test_a_fingerprint_is_of_all_that_is_invited_to() -> None:
    known = invite("c", HA_CF, AUTHKEYS).fingerprint
    assert same_fingerprint(known.upper().replace("-", " "), known) and not same_fingerprint(known[:-1], known)
    others = [invite("d", HA_CF, AUTHKEYS), invite("c", HA_CF + "#\n", AUTHKEYS), invite("c", HA_CF, AUTHKEYS + "\n")]
    assert known not in [other.fingerprint for other in others]


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        (["a"], "NAME=ADDRESS"),
        (["a=1.2.3"], "no IP address"),
        (["a=10.0.0.1:99999"], "no port"),
        (["a b=10.0.0.1"], "no node name"),
        (["a=10.0.0.1", "a=10.0.0.2"], "node a is given twice"),
        (["a=10.0.0.1", "b=10.0.0.1"], "address 10.0.0.1 is given twice"),
        (["a=10.0.0.1,10.1.0.1", "b=10.0.0.2"], "one address on each of the same networks"),
        (["a=10.0.0.1", "b=fe80::1"], "not both"),
        ([f"n{i}=10.0.{i}.1" for i in range(101)], "1 to 100"),
    ],
)
def test_what_is_no_cluster_is_refused(nodes: list[str], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        plan.check_nodes([plan.read_node(text) for text in nodes])


def test_two_networks_and_ipv6_are_written_as_media() -> None:
    nodes = [plan.read_node(f"{name}=10.0.0.{i},fe80::{i}") for i, name in enumerate("abc", 1)]
    text = plan.render_ha_cf(nodes, nodes[1], lambda address: "eth6" if address.is_ipv6 else "eth4", "c", "fast",
                             ["deadtime 2", "bcast eth9"])  # fmt: skip
    media = [(medium.kind, medium.interface, medium.address) for medium in parse(text, "ha.cf").media]
    assert media == [("bcast", "eth9", ""), *(("ucast", "eth4", f"10.0.0.{i}") for i in (1, 2, 3)),
                     *(("ucast6", "eth6", f"fe80::{i}") for i in (1, 2, 3))]  # fmt: skip
    assert "bindaddr" not in text
    with pytest.raises(PlanError, match="frobnicate"):
        plan.render_ha_cf(nodes, nodes[0], lambda _: "eth0", "c", "default", ["frobnicate 3"])


def test_who_joins_puts_his_own_interface_into_ha_cf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "is_own_address", lambda address: address == "192.0.2.2")
    monkeypatch.setattr(own, "interface_of", lambda address: "bond0")
    assert own.adapt(HA_CF, parse(HA_CF, "ha.cf"), None) == HA_CF.replace("eth0", "bond0")
    bound = "bindaddr 10.0.0.1\nucast eth0 10.0.0.1\nucast eth0 10.0.0.2\nnode a b\n"
    with pytest.raises(PlanError, match="--bind"):
        own.adapt(bound, parse(bound, "ha.cf"), None)
    with pytest.raises(PlanError, match=r"no line .* 10\.0\.0\.3"):
        own.adapt(bound, parse(bound, "ha.cf"), Address("10.0.0.3"))
    assert own.adapt(bound, parse(bound, "ha.cf"), Address("10.0.0.2")).startswith("bindaddr 10.0.0.2\n")


def test_the_first_configuration_is_judged(folder: Path) -> None:
    bad = folder / "bad.xml"
    bad.write_text("<configuration><resources><primitive/></resources></configuration>")
    done = init(folder, "--cib", bad)
    assert done.exit_code == Exit.USAGE and "the first CIB is refused" in done.stderr
    assert not (folder / "a").exists()


def test_files_are_all_written_or_none(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(PlacingError, match="nothing was written"):
        place([NewFile(tmp_path / "new", b"1", 0o600), NewFile(tmp_path / "taken", b"2", 0o600)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken"]
    assert (tmp_path / "taken").read_text() == "mine"
