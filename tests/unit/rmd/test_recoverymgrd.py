# SPDX-License-Identifier: GPL-2.0-or-later
"""recoverymgrd.conf: what is read, and what is refused with its line."""

from __future__ import annotations

import grp
import os
import pwd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.apphbd.model import MAX_CONFIG_BYTES, ConfigError
from ha.rmd.io.accounts import find_account
from ha.rmd.model.recoverymgrd import MAX_ACTIONS, RecoveryStanza, read_recoverymgrd_conf

CLASSIC = """\
# as Heartbeat's sample has it
nobody:nogroup /usr/lib/restart/player {
    APPHB_NOHB = "restart now"   # a text
    APPHB_HUP = restart
    APPHB_HBAGAIN
}

root:root /etc/ha.d/resource.d/other { APPHB_HUP }
"""

OURS = """\
nobody:nogroup /x/player {
    APPHB_NOHB
    instance = "first one"
    uid=media gid = 7
    kill = no
    interval_ms = 10 runs = 2/30 timeout_ms = 500
}
"""


def read(text: str) -> tuple[RecoveryStanza, ...]:
    return read_recoverymgrd_conf(text, "r.conf")


def test_the_classic_form() -> None:
    player, other = read(CLASSIC)
    assert player == RecoveryStanza(
        "r.conf:2", "nobody", "nogroup", "/usr/lib/restart/player",
        {"NOHB": "restart now", "HUP": "restart", "HBAGAIN": None},
    )  # fmt: skip
    assert (other.where, other.user, other.arguments) == ("r.conf:8", "root", {"HUP": None})
    assert player.kill and (player.max_runs, player.period_ms, player.interval_ms) == (5, 60_000, 1_000)
    assert read("") == read("# nothing\n\n") == ()


def test_our_additions() -> None:
    [stanza] = read(OURS)
    assert stanza == RecoveryStanza(
        "r.conf:1", "nobody", "nogroup", "/x/player", {"NOHB": None}, instance="first one", uid="media", gid="7",
        kill=False, interval_ms=10, max_runs=2, period_ms=30_000, timeout_ms=500,
    )  # fmt: skip


def block(inner: str) -> str:
    return f"a:b /x/y {{\nAPPHB_NOHB\n{inner}\n}}"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("nobody /x { APPHB_HUP }", "r.conf:1: USER:GROUP is expected, not 'nobody'"),
        (":b /x { APPHB_HUP }", "USER:GROUP is expected"),
        ('"a:b" /x { APPHB_HUP }', "USER:GROUP is expected"),
        ("\na:b x/y { APPHB_HUP }", "r.conf:2: the script is an absolute path, not 'x/y'"),
        ("a:b /x/ { APPHB_HUP }", "absolute path"),
        ("a:b /x/.. { APPHB_HUP }", "absolute path"),
        ("a:b", "r.conf:1: the file ends where a script is expected"),
        ("a:b /x", "the file ends where '{' is expected"),
        ("a:b /x APPHB_HUP", "'{' is expected, not 'APPHB_HUP'"),
        ("a:b /x {\nAPPHB_HUP\n", "r.conf:2: the file ends where '}' is expected"),
        ("a:b /x { }", "run at no event"),
        ("a:b /x { APPHB_HUP = }", "a value is expected after '='"),
        ("a:b /x { APPHB_HUP = ", "the file ends where a value is expected"),
        ("a:b /x { APPHB_HUP\n APPHB_HUP }", "r.conf:2: APPHB_HUP stands here twice"),
        ('a:b /x {\n\nAPPHB_HUP = "open\n}', "r.conf:3: a quotation mark is not closed"),
        ("a:b /x { APPHB_LATE }", "'APPHB_LATE' is no event; events are APPHB_HUP, "),
        ("a:b /x { HUP }", "'HUP' is no event"),
        ("a:b /x { APPHB_HUP = \"\x07\" }", "cannot be printed"),
        ("a:b /x { APPHB_HUP = " + "x" * 1001 + " }", "1000 characters at most"),
        (block("kill = perhaps"), "r.conf:3: kill is yes or no, not 'perhaps'"),
        (block("runs = 5"), "runs is runs/seconds"),
        (block("runs = 0/5"), "runs is runs/seconds"),
        (block("timeout_ms = 0"), "timeout_ms is 1 to 86400000"),
        (block("interval_ms = 1s"), "interval_ms is 1 to"),
        (block("interval_ms = \u0663"), "interval_ms is 1 to"),
        (block("retries = 5"), "'retries' is nothing that"),
        (block("uid = a\nuid = b"), "r.conf:4: uid stands here twice"),
        (block("runs = 1/1\nruns = 2/2"), "r.conf:4: runs stands here twice"),
        ("a:b /x { APPHB_HUP }\n" * (MAX_ACTIONS + 1), f"r.conf:{MAX_ACTIONS + 1}: more than {MAX_ACTIONS}"),
        ("#" * (MAX_CONFIG_BYTES + 1), "larger than"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_line(text: str, mistake: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(text)
    assert mistake in str(raised.value)


WORDS = st.sampled_from(["a:b", "/x/y", "{", "}", "=", "APPHB_HUP", "kill", "yes", "runs", "1/1", '"', "#", "\n", " "])


@given(st.text(max_size=100) | st.lists(WORDS, max_size=30).map(" ".join))
def test_any_text_is_stanzas_or_a_config_error_with_its_line(text: str) -> None:
    try:
        stanzas = read(text)
    except ConfigError as error:
        assert str(error).startswith("r.conf:")
    else:
        assert all(stanza.arguments and stanza.script.startswith("/") for stanza in stanzas)


# Users and groups ----------------------------------------------------------------------------------------------------


def own() -> tuple[str, str]:
    me = pwd.getpwuid(os.geteuid())
    return me.pw_name, grp.getgrgid(me.pw_gid).gr_name


def test_an_account_is_found_and_its_applications_are_its_users_and_roots() -> None:
    user, group = own()
    action = find_account(read(f"{user}:{group} /x/player {{ APPHB_HUP }}")[0])
    uid, gid = action.account.uid, action.account.gid
    assert (uid, action.uids, action.application) == (os.geteuid(), frozenset({uid, 0}), "player")
    assert action.concerns("player", "any", 0, 5) and action.concerns("player", "any", uid, gid)
    assert not action.concerns("other", "any", 0, 0) and not action.concerns("player", "any", 65_533, 0)
    narrow = find_account(read(f"{user}:{group} /x/player {{ APPHB_HUP uid=17 gid=18 instance=one }}")[0])
    assert narrow.concerns("player", "one", 17, 18)
    assert not narrow.concerns("player", "two", 17, 18)
    assert not narrow.concerns("player", "one", 0, 18)
    assert not narrow.concerns("player", "one", 17, 0)


def test_accounts_that_are_not_there_are_named_with_their_line() -> None:
    user, group = own()
    for owner, inner, mistake in (
        (f"no-such-user:{group}", "", "r.conf:1: there is no user 'no-such-user'"),
        (f"{user}:no-such-group", "", "there is no group 'no-such-group'"),
        (f"{user}:4294967", "", "is not the primary group"),
        (f"{user}:{group}", "uid=no-such-user", "there is no user 'no-such-user'"),
        (f"{user}:{group}", "gid=no-such-group", "there is no group 'no-such-group'"),
    ):
        with pytest.raises(ConfigError) as raised:
            find_account(read(f"{owner} /x/y {{ APPHB_HUP {inner} }}")[0])
        assert mistake in str(raised.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may run a script as anybody")
def test_an_ordinary_user_runs_no_script_as_another() -> None:
    root = pwd.getpwuid(0)
    with pytest.raises(ConfigError, match="only root may run"):
        find_account(read(f"{root.pw_name}:{grp.getgrgid(root.pw_gid).gr_name} /x/y {{ APPHB_HUP }}")[0])
