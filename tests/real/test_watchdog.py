# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's watchdog resets a machine whose root pair stops working, and no other (promise P5).

The guest is an appliance as well: rmd and apphbd alone, no ha.cf, a read-only root, and a program of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.real.guest import machine

pytestmark = [pytest.mark.real, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]
TIMEOUT_S = 30
"""Long, because the guest is slow: a new rmd reads its code in ten seconds, and must have the device again by then."""
REST_S = 40
GRACE = 2.0
"""The guest's clock is emulated: on a busy host it may run at half speed."""

APPLIANCE = """\
export PYTHONPATH={repository} PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8
node=/run/node
mkdir -p $node/etc/ha.d/supervisor.d
echo 'guest' >$node/etc/ha.d/nodeinfo
cp {repository}/supervisor.d/010-apphbd.conf $node/etc/ha.d/supervisor.d
printf '[program:clock]\\ncommand=/bin/sleep 1000\\n' >$node/etc/ha.d/supervisor.d/500-clock.conf
printf 'watchdog_device /dev/watchdog\\nwatchdog_interval_ms 500\\nwatchdog_timeout_ms {timeout_ms}\\n' \\
    >$node/etc/ha.d/apphbd.cf
rmd() {{ {python} -m ha.rmd --root $node "$@"; }}
titled() {{
    for entry in /proc/[0-9]*; do
        case $(tr '\\0' ' ' <$entry/cmdline) in "$1 "*) echo ${{entry#/proc/}} ;; esac
    done 2>/dev/null
}}
say() {{ echo "MARK $1" >/dev/ttyS0; }}
await() {{ for i in $(seq 300); do eval "$1" && return; sleep 0.2; done; give_up "in vain: $1"; }}
give_up() {{ say "$1"; echo o >/proc/sysrq-trigger; sleep 60; }}
start() {{ rmd >/dev/ttyS0 2>&1 || give_up "rmd failed"; await '[ -n "$(titled "sleep 1000")$(pidof sleep)" ]'; }}
"""

WHOLE_LIFE = """\
start
say started
rmd --stop; say stopped
sleep {rest}
say "up after an orderly stop"
start
say "started again"
old=$(titled 'ha-rmd guest')
kill -STOP $old; say "rmd frozen"
await 'new=$(titled "ha-rmd guest"); [ -n "$new" ] && [ "$new" != "$old" ]'
say "rmd replaced"
sleep {rest}
say "up after rmd was replaced"
{end}
sleep 90
say "up in spite of it"
"""

FREEZE = "kill -STOP $(titled 'ha-rmd guest') $(titled 'ha-apphbd guest'); say 'the pair is down'"
KILL = "kill -KILL $(titled 'ha-rmd guest') $(titled 'ha-apphbd guest'); say 'the pair is down'"


@pytest.mark.parametrize(("driver", "end"), [("i6300esb", FREEZE), ("softdog", KILL)])
def test_a_dead_or_frozen_pair_means_a_reset_and_an_orderly_stop_does_not(
    tmp_path: Path, driver: str, end: str
) -> None:
    try:
        machine.parts()
    except machine.Missing as missing:
        pytest.skip(str(missing))
    head = APPLIANCE.format(repository=REPOSITORY, python=sys.executable, timeout_ms=TIMEOUT_S * 1000)
    outcome = machine.run(tmp_path, head + WHOLE_LIFE.format(rest=REST_S, end=end), driver)
    for mark in ("up after an orderly stop", "up after rmd was replaced"):
        outcome.at(mark)
    assert not outcome.said("up in spite of it"), outcome.console[-20:]
    took_s = outcome.ended_at - outcome.at("the pair is down")
    print(f"\n{driver}: reset {took_s:.1f} s after the pair went down (timeout {TIMEOUT_S} s)")
    assert took_s < TIMEOUT_S * GRACE
