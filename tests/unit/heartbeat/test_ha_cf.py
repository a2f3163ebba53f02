# SPDX-License-Identifier: GPL-2.0-or-later
"""ha.cf: every directive, the defaults, and every kind of nonsense with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ha.heartbeat.io import load
from ha.heartbeat.model import HaCfError, Times, parse
from ha.heartbeat.model.directives import DIRECTIVES
from ha.heartbeat.model.ha_cf import MAX_HA_CF_BYTES
from ha.heartbeat.model.time import parse_boolean, parse_time_ms
from ha.root import Root

LEAST = "node a b\nbcast eth0\n"


def test_silence_means_our_defaults() -> None:
    ha_cf = parse(LEAST, "ha.cf")
    assert ha_cf.times == Times(200, 500, 1000, 10_000)
    assert (ha_cf.framing, ha_cf.udpport, ha_cf.autojoin, ha_cf.crm) == ("netstring", 694, "none", "off")
    assert ha_cf.warnings == ()


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("profile fast", Times(25, 75, 150, 10_000)),
        ("profile default", Times(200, 500, 1000, 10_000)),
        ("deadtime 2\nprofile fast", Times(25, 1000, 2000, 10_000)),
        ("profile fast\nkeepalive 50ms", Times(50, 75, 150, 10_000)),
        ("keepalive 1\ndeadtime 30", Times(1000, 15_000, 30_000, 30_000)),
        ("deadtime 4\nwarntime 3", Times(200, 3000, 4000, 10_000)),
        ("initdead 60", Times(200, 500, 1000, 60_000)),
        ("keepalive 0.05\ndeadtime 500000us", Times(50, 250, 500, 10_000)),
    ],
)
def test_an_explicit_time_always_wins(text: str, times: Times) -> None:
    assert parse(LEAST + text, "ha.cf").times == times


@pytest.mark.parametrize(
    ("word", "milliseconds"),
    [("1", 1000), ("0.5", 500), (".25", 250), ("2.", 2000), ("1500ms", 1500), ("30msec", 30), ("1500us", 2),
     ("1usec", 1), ("0.0001", 1), ("0", 0)],
)  # fmt: skip
def test_times(word: str, milliseconds: int) -> None:
    assert parse_time_ms(word) == milliseconds


@pytest.mark.parametrize("word", ["1s", "", "ms", "-1", "+1", "1e3", "1 ms", "nan", "١", "1mss", "1.2.3", "604801"])
def test_no_times(word: str) -> None:
    with pytest.raises(ValueError):
        parse_time_ms(word)


def test_booleans_in_any_case() -> None:
    assert all(parse_boolean(word) for word in ("yes", "Y", "1", "TRUE", "on"))
    assert not any(parse_boolean(word) for word in ("no", "N", "0", "False", "OFF"))
    with pytest.raises(ValueError):
        parse_boolean("maybe")


def test_media_and_what_stands_above_them() -> None:
    text = """
        node a b
        bcast eth0 eth1      # at the default port
        bindaddr 127.0.0.5:7001
        ucast lo 127.0.0.1:7002
        ucast eth2 10.0.0.2
        mcast eth3 239.1.2.3 695 2 0
    """
    media = parse(text, "ha.cf").media
    assert [(m.name, m.link, m.peer, m.port) for m in media] == [
        ("bcast eth0", "eth0", "", 694),
        ("bcast eth1", "eth1", "", 694),
        ("ucast lo", "lo", "127.0.0.1:7002", 7002),
        ("ucast eth2", "eth2", "10.0.0.2:694", 694),
        ("mcast eth3", "eth3", "", 695),
    ]
    assert [(m.bind_address, m.bind_port) for m in media[2:4]] == [("127.0.0.5", 7001)] * 2
    assert (media[4].address, media[4].ttl, media[4].loop) == ("239.1.2.3", 2, False)


def test_udpport_holds_for_what_follows() -> None:
    media = parse("node a\nudpport 7000\nbcast eth0\nucast eth1 10.0.0.1\n", "ha.cf").media
    assert [(medium.port, medium.bind_port) for medium in media] == [(7000, 7000), (7000, 7000)]


@pytest.mark.parametrize(("line", "says"), [("node_weight ghost 2", "ghost"), ("node_weight a 0", "weight 0")])
def test_weights_must_fit_the_nodes(line: str, says: str) -> None:
    with pytest.raises(HaCfError, match=says):
        parse(f"node a\nbcast eth0\n{line}\n", "ha.cf")
    assert parse("node a b\nbcast eth0\nnode_weight B 3\n", "ha.cf").weights == {"b": 3}


EXAMPLES = {
    "node": "c d", "node_weight": "a 2", "tie_breaker": "lease /srv/shared 3",
    "autojoin": "other", "profile": "fast", "keepalive": "100ms", "deadtime": "5",
    "warntime": "0.9", "initdead": "30", "deadping": "5", "udpport": "695", "bindaddr": "127.0.0.1:700",
    "bcast": "eth1", "mcast": "eth0 225.0.0.1 694 1 0", "mcast6": "eth0 ff14::1 694 2 0", "ucast": "eth0 10.0.0.1",
    "ucast6": "eth0 fe80::1%eth0", "serial": "/dev/ttyS0", "baud": "19200", "ping": "10.0.0.254",
    "ping_group": "routers 10.0.0.1 10.0.0.2", "hbaping": "fc 1", "hopfudge": "2", "auto_failback": "legacy",
    "pacemaker": "respawn", "crm": "yes", "crm_daemon_dir": "/usr/lib/x", "crmd_spawns_pengine": "on",
    "respawn": "hacluster /usr/lib/ipfail -v", "failfast": "root /bin/x", "apiauth": "ipfail uid=hacluster,3 gid=x",
    "stonith": "null /etc/ha.d/null.cfg", "stonith_host": "* null a b", "watchdog": "/dev/watchdog",
    "unfenced_takeover": "5",
    "cluster": "web", "quorum_server": "q.example", "compression": "bz2", "compression_threshold": "2",
    "traditional_compression": "no", "msgfmt": "classic", "hbgenmethod": "time", "uuidfrom": "nodename",
    "realtime": "off", "rtprio": "5", "memreserve": "6500", "max_rexmit_delay": "100", "fragment_size": "1400",
    "logfile": "/var/log/ha", "debugfile": "/var/log/hd", "logfacility": "local0", "use_logd": "yes",
    "conn_logd_time": "60", "syslogmsgfmt": "true", "log_badpack": "false", "coredumps": "true",
    "coreroot": "/var/core", "debug": "1", "use_apphbd": "on", "env": "A=1 2", "record_config_changes": "on",
    "record_pengine_inputs": "on", "enable_config_writes": "on",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in DIRECTIVES if name != "nice_failback"])
def test_every_directive_is_parsed_and_told_when_it_is_not_acted_on(name: str) -> None:
    text = f"{name} {EXAMPLES[name]}\nnode a b\nbcast eth0\n"
    warnings = parse(text, "ha.cf").warnings
    silent = DIRECTIVES[name].acted_on in (True, "off")  # there is no CRM in this file
    assert any("understood but not acted on" in warning for warning in warnings) != silent
    assert all(warning.startswith("ha.cf:1: ") for warning in warnings)


@pytest.mark.parametrize("mode", ["respawn", "off"])
def test_what_needs_a_cluster_without_a_crm_is_told_with_one(mode: str) -> None:
    text = f"crm {mode}\nauto_failback on\nstonith_host * external/ssh a b\nunfenced_takeover 3\nnode a b\nbcast eth0\n"
    read = parse(text, "ha.cf")
    assert (read.auto_failback, read.unfenced_takeover_ms) == ("on", 3000)
    assert [(d.host, d.plugin, d.parameters) for d in read.stonith_hosts] == [("*", "external/ssh", "a b")]
    assert len([w for w in read.warnings if w.endswith("with a CRM")]) == (3 if mode == "respawn" else 0)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nonsense 1", "no such directive"),
        ("NODE x", "no such directive"),
        ("node", "at least 1 word"),
        ("node a", "listed twice"),
        ("node_weight a x", "'x'"),
        ("node_weight a 1001", "1001"),
        ("tie_breaker coin /x", "none of ping, lease, http"),
        ("tie_breaker lease shared", "no absolute path"),
        ("tie_breaker lease /x 2min", "no time"),
        ("tie_breaker lease /x 61", "at most 60 s"),
        ("tie_breaker lease /" + "x" * 1000, "more than 1000"),
        ("tie_breaker http ftp://h/x", "no URL of an object"),
        ("tie_breaker http http://h", "no URL of an object"),
        ("tie_breaker http http://h:99999/x", "no URL"),
        ("tie_breaker http http://user:word@h/x", "user names"),
        ("tie_breaker ping 10.0.0.254", "no line ping or ping_group names it"),
        ("tie_breaker ping 10.0.0.254 5", "takes no time"),
        ("node x/y", "no name of a node"),
        ("node " + "n" * 101, "no name of a node"),
        ("node " + " ".join(f"n{i}" for i in range(100)), "more than 100"),
        ("autojoin maybe", "none of none, other, any"),
        ("profile slow", "none of default, fast"),
        ("keepalive 1s", "no time"),
        ("keepalive 0", "longer than 0"),
        ("keepalive", "takes 1 word"),
        ("keepalive 1 2", "takes 1 word"),
        ("keepalive 0.5", "more than twice keepalive"),
        ("deadtime 0.4", "more than twice keepalive"),
        ("deadping 0.1", "more than twice keepalive"),
        ("warntime 2", "must not exceed"),
        ("initdead 0.5", "must not be less"),
        ("udpport 0", "no whole number from 1 to 65535"),
        ("udpport 700", "must stand above the media"),
        ("udpport x", "no whole number"),
        ("bindaddr localhost", "no IPv4 address"),
        ("bindaddr 127.0.0.1:99999", "no whole number"),
        ("bcast eth0", "listed twice"),
        ("bcast a/b", "no name of a network interface"),
        ("bcast " + " ".join(f"e{i}" for i in range(64)), "more than 64 media"),
        ("mcast eth0 10.0.0.1 694 1 0", "no multicast group"),
        ("mcast eth0 225.0.0.1 694 0 0", "no whole number from 1 to 255"),
        ("mcast eth0 225.0.0.1 694 1 2", "no whole number from 0 to 1"),
        ("mcast eth0 225.0.0.1 694 1", "takes 5 words"),
        ("mcast6 eth0 ff14::1 694 5 0", "no whole number from 0 to 4"),
        ("mcast6 eth0 fe80::1 694 1 0", "no multicast group"),
        ("ucast eth0 10.0.0.300", "no IPv4 address"),
        ("ucast eth0", "takes 2 words"),
        ("ucast6 eth0 1.2.3.4", "no IPv6 address"),
        ("serial ttyS0", "no path"),
        ("baud 300", "none of 9600"),
        ("ping host", "no IPv4 address"),
        ("ping_group g x", "no IPv4 address"),
        ("hopfudge -1", "no whole number"),
        ("auto_failback perhaps", "neither"),
        ("nice_failback on", "auto_failback off"),
        ("nice_failback off", "auto_failback on"),
        ("pacemaker perhaps", "neither"),
        ("crm on\ncrm on", "given twice"),
        ("respawn hacluster", "at least 2 words"),
        ("respawn hacluster ipfail", "no absolute path"),
        ("apiauth x", "at least 2 words"),
        ("apiauth x user=1", "neither uid="),
        ("apiauth x uid=", "neither uid="),
        ("apiauth x uid=a,,b", "neither uid="),
        ("apiauth x uid=1\napiauth x uid=2", "given twice"),
        ("stonith null file", "no path"),
        ("watchdog watchdog0", "no path"),
        ("compression gzip", "none of zlib, bz2"),
        ("msgfmt xml", "none of netstring, classic"),
        ("realtime perhaps", "neither"),
        ("rtprio 100", "no whole number from 1 to 99"),
        ("max_rexmit_delay 250ms", "no whole number"),
        ("fragment_size 10", "no whole number from 256"),
        ("debug 256", "no whole number from 0 to 255"),
        ("env A", "NAME=VALUE"),
        ("profile fast\nprofile fast", "given twice"),
        ("\x00\x01", "no such directive"),
    ],
)
def test_nonsense_is_an_error_with_file_and_line(line: str, says: str) -> None:
    with pytest.raises(HaCfError) as caught:
        parse(f"{LEAST}\n{line}\n", "etc/ha.cf")
    number = 4 + line.count("\n")
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"etc/ha.cf:{number}: ")
    assert says in caught.value.problems[0]


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(HaCfError) as caught:
        parse("nod a\nkeepalive x\n", "f")
    assert [problem.split(": ")[0] for problem in caught.value.problems] == ["f:1", "f:2", "f", "f"]


def test_names_are_lower_case_and_autojoin_any_needs_none() -> None:
    assert parse("node Alpha BETA\nbcast eth0", "f").nodes == ("alpha", "beta")
    assert parse("autojoin any\nbcast eth0", "f").nodes == ()


def test_parameters_are_kept_as_they_are_written() -> None:
    parameters = parse("node a\nnode b # two\nbcast eth0\ndeadtime 4\n", "f").parameters
    assert (parameters["deadtime"], parameters["node"]) == ("4", "a b")


def test_a_short_initdead_is_a_warning() -> None:
    assert parse(LEAST + "initdead 5", "f").warnings[0].startswith("f:3: initdead under 10 s")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    with pytest.raises(HaCfError, match="No such file"):
        load(root)
    root.config_dir.mkdir(parents=True)
    root.ha_cf.write_bytes(b"node a\nbcast eth0\n# \xff\n")
    with pytest.raises(HaCfError, match=r"ha.cf:3: not UTF-8"):
        load(root)
    root.ha_cf.write_bytes(b"#" * (MAX_HA_CF_BYTES + 1))
    with pytest.raises(HaCfError, match="longer than"):
        load(root)
    root.ha_cf.write_text(LEAST)
    assert load(root).nodes == ("a", "b")


def test_the_manual_knows_every_directive_and_whether_it_is_acted_on() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "ha.cf.md").read_text(encoding="utf-8")
    acted_on, not_acted_on = manual.split("# authkeys")[0].split("## What is understood")
    for name, directive in DIRECTIVES.items():
        as_word = rf"`{name}\b"
        assert re.search(as_word, acted_on if directive.acted_on and name != "nice_failback" else not_acted_on), name
        if not directive.acted_on:
            assert not re.search(as_word, acted_on), name
