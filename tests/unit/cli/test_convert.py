# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha config convert`: each input with what becomes of it, and nothing dropped silently."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from ha.cli.config.convert import corosync, haresources, older_cib, pacemaker
from ha.cli.config.convert.agent_arguments import ocf_parameters
from ha.cli.config.convert.command import convert, haresources2cib
from ha.cli.config.convert.model import Conversion, ConversionError
from ha.haresources.model.haresources import parse_resource
from ha.heartbeat.model.ha_cf_parser import parse as parse_ha_cf

INPUTS = Path(__file__).parent / "convert_inputs"
CRM_VERIFY = "/usr/sbin/crm_verify"
HA_CF = "ucast eth0 192.0.2.1\nucast eth0 192.0.2.2\nnode alpha beta\n"


def lost(made: Conversion) -> list[str]:
    return [remark.what for remark in made.remarks if remark.weight == "lost"]


def pairs(xml: str, path: str) -> dict[str, str]:
    return {pair.get("name", ""): pair.get("value", "") for pair in etree.fromstring(xml).findall(path)}


def golden(made: Conversion, name: str) -> None:
    """Compares with the reviewed result; `name` is a file of `convert_inputs`."""
    said = "\n".join(f"{r.weight}: {r.where}: {r.what}" for r in made.remarks)
    text = "".join(f"==> {file}\n{content}" for file, content in made.files.items()) + f"==> remarks\n{said}\n"
    assert text == (INPUTS / name).read_text()


# haresources ---------------------------------------------------------------------------------------------------------


def from_haresources(lines: str, ha_cf: str = HA_CF, **around: object) -> Conversion:
    return haresources.convert(("haresources", lines), ("ha.cf", ha_cf), haresources.Surroundings(**around))  # type: ignore[arg-type]


def test_a_whole_cluster_of_old() -> None:
    texts = [(name, (INPUTS / name).read_text()) for name in ("haresources", "ha.cf")]
    around = haresources.Surroundings(frozenset({"thing"}), lambda plugin: ("hostlist",))
    golden(haresources.convert(*texts, around), "haresources.expected")


@pytest.mark.parametrize(
    ("resource", "agent"),
    [
        ("192.0.2.1", ("IPaddr2", {"ip": "192.0.2.1"})),
        ("192.0.2.1/24/eth0:web/192.0.2.255",
         ("IPaddr2", {"ip": "192.0.2.1", "cidr_netmask": "24", "nic": "eth0", "iflabel": "web",
                      "broadcast": "192.0.2.255"})),
        ("IPaddr::192.0.2.1/255.255.255.0/192.0.2.255",
         ("IPaddr2", {"ip": "192.0.2.1", "cidr_netmask": "24", "broadcast": "192.0.2.255"})),
        ("IPaddr::192.0.2.300", None),
        ("IPv6addr::2001:db8::1/64/eth0", None),  # :: divides arguments, so no such address can be written
        ("Filesystem::/dev/sda1::/srv", ("Filesystem", {"device": "/dev/sda1", "directory": "/srv"})),
        ("Filesystem::a::b::c::d::e", None),
        ("apache", ("apache", {})),
        ("AudibleAlarm::n1::n2", ("AudibleAlarm", {"nodelist": "n1 n2"})),
        ("drbddisk::r0", None),
    ],
)  # fmt: skip
def test_arguments_get_the_names_of_parameters(resource: str, agent: object) -> None:
    assert ocf_parameters(parse_resource(resource)) == agent


@pytest.mark.parametrize(
    ("line", "stickiness"), [("auto_failback on\n", "0"), ("auto_failback off\n", "INFINITY"), ("", "0")]
)
def test_auto_failback_becomes_stickiness(line: str, stickiness: str) -> None:
    made = from_haresources("alpha apache\n", HA_CF + line)
    assert pairs(made.files["cib.xml"], ".//rsc_defaults//nvpair")["resource-stickiness"] == stickiness


def test_times_that_ha_cf_leaves_open_keep_their_old_meaning() -> None:
    made = from_haresources("alpha apache\n", "keepalive 2\n" + HA_CF)
    new = parse_ha_cf(made.files["ha.cf"], "ha.cf")
    assert (new.keepalive_ms, new.deadtime_ms, new.initdead_ms, new.crm) == (2000, 30_000, 30_000, "respawn")
    assert from_haresources("alpha apache\n", HA_CF + "deadtime 5\nkeepalive 1\ninitdead 20\n").files["ha.cf"] == (
        HA_CF + "deadtime 5\nkeepalive 1\ninitdead 20\ncrm respawn\n"
    )


def test_a_group_with_a_part_missing_does_not_start() -> None:
    made = from_haresources("alpha drbddisk::r0 Filesystem::/dev/drbd0::/srv\n")
    assert lost(made) == ["drbddisk::r0: an init script takes no arguments, and resource.d has no drbddisk"]
    assert pairs(made.files["cib.xml"], ".//group/meta_attributes/nvpair") == {"target-role": "Stopped"}


def test_a_script_of_resource_d_keeps_its_arguments() -> None:
    made = from_haresources("alpha drbddisk::r0::x\n", scripts=frozenset({"drbddisk"}))
    assert made.complete
    assert pairs(made.files["cib.xml"], ".//primitive[@class='heartbeat']//nvpair") == {"1": "r0", "2": "x"}


@pytest.mark.parametrize(
    ("lines", "ha_cf", "what"),
    [
        ("alpha apache\n", HA_CF + "respawn root /usr/bin/thing\n", "respawn is understood but not acted on"),
        ("alpha apache\n", HA_CF + "respawn hacluster /usr/lib/heartbeat/ipfail\n", "ipfail"),
        ("alpha apache\n", HA_CF + "stonith_host * nosuch a b\n", "fence device nosuch"),
        ("alpha apache\n", HA_CF + "stonith nosuch /etc/ha.d/fence.cfg\n", "stonith nosuch"),
        ("alpha apache\n#rsc_order a start after b\n", HA_CF, "an order in a comment"),
    ],
)
def test_what_is_lost_is_told(lines: str, ha_cf: str, what: str) -> None:
    assert [text for text in lost(from_haresources(lines, ha_cf)) if what in text]


# corosync.conf -------------------------------------------------------------------------------------------------------


def test_a_corosync_conf() -> None:
    source = ("corosync.conf", (INPUTS / "corosync.conf").read_text())
    golden(corosync.convert(source, corosync.Surroundings({0: "bond0"})), "corosync.expected")


NODES = "nodelist {\n node {\n name: a\n ring0_addr: 192.0.2.1\n }\n node {\n name: b\n ring0_addr: 192.0.2.2\n }\n}\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("totem {\n token: 1000\n}\n" + NODES, "deadtime 1000ms"),
        (NODES + NODES.replace("name: a", "name: c").replace("name: b", "name: d").replace("2.1", "2.3")
         .replace("2.2", "2.4"), "deadtime 4300ms"),
        ("totem {\n transport: udp\n interface {\n mcastaddr: 239.1.1.1\n mcastport: 5405\n }\n}\n" + NODES,
         "mcast eth0 239.1.1.1 5405 1 0"),
        ("totem {\n transport: udpu\n interface {\n mcastport: 5407\n }\n}\n" + NODES, "udpport 5407"),
        (NODES.replace("192.0.2.1", "2001:db8::1"), "ucast6 eth0 2001:db8::1"),
    ],
)  # fmt: skip
def test_lines_of_ha_cf(text: str, line: str) -> None:
    made = corosync.convert(("corosync.conf", text))
    assert line in made.files["ha.cf"].split("\n")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("totem {\n", "c:1: section totem is not closed"),
        ("}\n", "c:1: a } that closes nothing"),
        ("nonsense\n", "c:1: neither a section nor `key: value`"),
        ("a {\n" * 20, "c:9: sections in each other deeper than 8"),
        ("totem {\n token: soon\n}\n" + NODES, "c:2: token: 'soon' is no time in milliseconds"),
        (NODES.replace("name: a\n", ""), "c:2: a node without a name"),
        (NODES.replace("192.0.2.1", "host.example"), "c:4: the address of host.example is not known here"),
        ("", "c: no nodelist"),
    ],
)
def test_a_corosync_conf_that_cannot_be_used(text: str, problem: str) -> None:
    with pytest.raises(ConversionError) as caught:
        corosync.convert(("c", text))
    assert any(found.startswith(problem) for found in caught.value.problems), caught.value.problems


@pytest.mark.parametrize(
    "key",
    [
        "quorum {\n last_man_standing: 1\n}\n",
        "totem {\n join: 60\n}\n",
        "quorum {\n device {\n }\n}\n",
        "uidgid {\n}\n",
    ],
)
def test_what_corosync_does_and_heartbeat_does_not_is_told(key: str) -> None:
    assert len(lost(corosync.convert(("c", key + NODES)))) == 1


# CIBs ----------------------------------------------------------------------------------------------------------------


def cib(inner: str, schema: str = "pacemaker-1.2") -> tuple[str, bytes]:
    options, _, rest = inner.partition("|")
    text = f"""<cib admin_epoch="0" epoch="1" num_updates="0" validate-with="{schema}"><configuration>
      <crm_config><cluster_property_set id="o">{options}</cluster_property_set></crm_config>
      <nodes/><resources>{rest}</resources><constraints/></configuration><status/></cib>"""
    return "cib.xml", text.encode()


def test_a_cib_of_heartbeat_2() -> None:
    golden(older_cib.convert(("old.xml", (INPUTS / "heartbeat-2.1.xml").read_bytes())), "heartbeat-2.1.expected")


@pytest.mark.parametrize(
    ("option", "value", "path", "expected", "is_lost"),
    [
        ("default-action-timeout", "30s", ".//op_defaults//nvpair", {"timeout": "30s"}, False),
        ("is-managed-default", "false", ".//rsc_defaults//nvpair", {"is-managed": "false"}, False),
        ("stonith_enabled", "false", ".//crm_config//nvpair", {"stonith-enabled": "false"}, False),
        ("default-resource-failure-stickiness", "-INFINITY", ".//rsc_defaults//nvpair",
         {"migration-threshold": "1"}, False),
        ("default-resource-failure-stickiness", "-10", ".//crm_config//nvpair", {}, True),
        ("notification-agent", "/bin/tell", ".//crm_config//nvpair", {}, True),
        ("expected-quorum-votes", "2", ".//crm_config//nvpair", {}, False),
    ],
)  # fmt: skip
def test_older_options(option: str, value: str, path: str, expected: dict[str, str], is_lost: bool) -> None:
    made = older_cib.convert(cib(f'<nvpair id="x" name="{option}" value="{value}"/>|'))
    assert pairs(made.files["cib.xml"], path) == expected
    assert bool(lost(made)) == is_lost


def primitive(inner: str, kind: str = 'class="ocf" provider="heartbeat" type="Dummy"') -> str:
    return f'|<primitive id="p" {kind}>{inner}</primitive>'


@pytest.mark.parametrize(
    ("resource", "lost_words"),
    [
        (primitive("", 'class="upstart" type="x"'), "class upstart"),
        (primitive('<meta_attributes id="m"><nvpair id="n" name="isolation" value="docker"/></meta_attributes>'),
         "isolation=docker"),
        (primitive('<meta_attributes id="m"><nvpair id="n" name="resource-failure-stickiness" value="-5"/>'
                   "</meta_attributes>"), "a score of -5"),
        (primitive('<instance_attributes id="m"><nvpair id="n" name="pcmk_arg_map" value="a:b,c:d"/>'
                   "</instance_attributes>"), "pcmk_arg_map"),
    ],
)  # fmt: skip
def test_resources_that_cannot_be_carried_over(resource: str, lost_words: str) -> None:
    assert lost_words in lost(older_cib.convert(cib(resource)))[0]


def test_an_acl_of_old_is_rewritten() -> None:
    text = cib("|")[1].replace(b"<constraints/>", b'<constraints/><acls><acl_user id="joe"><read id="r" tag="nodes"/>'
                                                  b"</acl_user></acls>")  # fmt: skip
    assert 'object-type="nodes"' in older_cib.convert(("cib.xml", text)).files["cib.xml"]


@pytest.mark.parametrize("text", [b"", b"<x/>", b"<cib>", b"\xff", b"<!DOCTYPE a><cib/>", cib("|<wrong/>")[1]])
def test_what_is_no_cib_is_refused(text: bytes) -> None:
    for conversion in (older_cib.convert, pacemaker.convert):
        with pytest.raises(ConversionError):
            conversion(("cib.xml", text))


@given(st.binary(max_size=200))
@settings(max_examples=50)
def test_garbage_is_refused(data: bytes) -> None:
    for conversion in (older_cib.convert, pacemaker.convert):
        with pytest.raises(ConversionError):
            conversion(("cib.xml", data))
    text = data.decode("latin-1")
    with pytest.raises(ConversionError):
        corosync.convert(("c", text))
    with pytest.raises(ConversionError):
        from_haresources("alpha a\n", "garbage " + text)


# Export --------------------------------------------------------------------------------------------------------------

OURS = (
    '<nvpair id="a" name="takeover-grace" value="5s"/><nvpair id="b" name="fencing-enabled" value="false"/>|'
    '<primitive id="ip" class="ocf" provider="heartbeat" type="Address"><instance_attributes id="ia">'
    '<nvpair id="i" name="ip" value="192.0.2.1"/></instance_attributes></primitive>'
    '<primitive id="old" class="heartbeat" type="thing"/><primitive id="page" class="ocf" provider="heartbeat" '
    'type="WebPage"/>'
)


def test_export_takes_out_what_is_ours_and_tells() -> None:
    made = pacemaker.convert(cib(OURS, "pacemaker-4.0"))
    assert pairs(made.files["cib.xml"], ".//crm_config//nvpair") == {"stonith-enabled": "false"}
    root = etree.fromstring(made.files["cib.xml"])
    assert root.get("validate-with") == "pacemaker-3.9"
    assert [p.get("type") for p in root.iter("primitive")] == ["IPaddr2", "thing", "WebPage"]
    assert [remark.where for remark in made.remarks if remark.weight == "lost"] == [
        "crm_config takeover-grace", "primitive old", "primitive page",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("node", "nodeids", "expected"),
    [
        ('<node id="alpha" uname="alpha"/>', {}, []),
        ('<node id="alpha" uname="alpha"/>', {"alpha": "7"}, ["7"]),
        ('<node id="alpha" uname="alpha" description="x"/>', {}, ["alpha"]),
    ],
)
def test_nodes_get_corosyncs_ids(node: str, nodeids: dict[str, str], expected: list[str]) -> None:
    source = cib("|")[1].replace(b"<nodes/>", f"<nodes>{node}</nodes>".encode())
    made = pacemaker.convert(("cib.xml", source), nodeids)
    assert [node.get("id") for node in etree.fromstring(made.files["cib.xml"]).iter("node")] == expected


@pytest.mark.skipif(not Path(CRM_VERIFY).exists(), reason=f"Debian's package pacemaker is not installed ({CRM_VERIFY})")
@pytest.mark.parametrize("source", ["ours", "haresources", "heartbeat-2.1"])
def test_debians_crm_verify_accepts_the_export(source: str, tmp_path: Path) -> None:
    if source == "ours":
        text = cib(OURS)[1].decode()
    elif source == "haresources":
        files = [(name, (INPUTS / name).read_text()) for name in ("haresources", "ha.cf")]
        text = haresources.convert(*files).files["cib.xml"]
        text = text.replace('"stonith-enabled" value="true"', '"stonith-enabled" value="false"')
    else:
        text = older_cib.convert(("o", (INPUTS / "heartbeat-2.1.xml").read_bytes())).files["cib.xml"]
        fencing_off = '<nvpair id="off" name="stonith-enabled" value="false"/>'
        text = text.replace('<nvpair id="o2"', f'{fencing_off}<nvpair id="o2"')
    exported = tmp_path / "cib.xml"
    exported.write_text(pacemaker.convert(("cib.xml", text.encode())).files["cib.xml"])
    checked = subprocess.run([CRM_VERIFY, "-V", "-x", exported], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


# The command ---------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(convert, [*arguments])
    return result.exit_code, result.stdout, result.stderr


def test_exit_status_and_files(tmp_path: Path) -> None:
    for name in ("haresources", "ha.cf"):
        shutil.copy(INPUTS / name, tmp_path / name)
    words = ["haresources", str(tmp_path / "haresources"), "-c", str(tmp_path / "ha.cf"), "--to", str(tmp_path / "new")]
    code, out, _ = run(*words)
    assert code == 1
    assert out.splitlines()[0].startswith("lost: ")
    assert (tmp_path / "new/cib.xml").exists()
    assert run(*words)[0] == 108
    assert run(*words, "--force")[0] == 1
    (tmp_path / "haresources").write_text("alpha apache\n")
    (tmp_path / "ha.cf").write_text(HA_CF)
    assert run(*words, "--force")[0] == 0
    assert run("haresources", str(tmp_path / "none"), "-c", str(tmp_path / "ha.cf"))[0] == 66
    (tmp_path / "haresources").write_text("alpha\n")
    assert run(*words)[0] == 65


@pytest.mark.parametrize("form", ["json", "xml"])
def test_what_programs_read(form: str) -> None:
    code, out, _ = run("corosync", str(INPUTS / "corosync.conf"), "--interface", "0=bond0", "--output-as", form)
    assert code == 1
    if form == "json":
        result = json.loads(out)
        assert (result["status"]["code"], list(result["files"])) == (1, ["ha.cf"])
        assert {remark["weight"] for remark in result["remarks"]} == {"lost", "changed"}
    else:
        root = etree.fromstring(out.encode())
        assert root.find("status").get("code") == "1"  # type: ignore[union-attr]
        assert root.find("file").get("name") == "ha.cf"  # type: ignore[union-attr]


def test_haresources2cib(tmp_path: Path) -> None:
    (tmp_path / "haresources").write_text("alpha apache\n")
    (tmp_path / "ha.cf").write_text(HA_CF)
    words = [str(tmp_path / "haresources"), "-c", str(tmp_path / "ha.cf"), "--cib", str(tmp_path / "cib.xml")]
    assert CliRunner().invoke(haresources2cib, words).exit_code == 0
    assert "apache" in (tmp_path / "cib.xml").read_text()
    assert CliRunner().invoke(haresources2cib, words).exit_code == 108
    assert "<cib " in CliRunner().invoke(haresources2cib, [*words, "--stdout", "--no-monitor"]).stdout
