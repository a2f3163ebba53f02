# SPDX-License-Identifier: GPL-2.0-or-later
"""What rmd touches. Everything that overrides supervisor's inner methods is in three files: options, process, loop.

options      where supervisor's configuration comes from
process      one worker or program: forked, reaped, restarted
child        what happens in the fork until the worker's main is called
loop         the supervisor itself: waits, reaps, restarts, stops in good order
guard        dealings with apphbd, and what becomes of the hung
requests     rmd.sock: what the crmd and programs ask
pair         rmd's end of the channel to apphbd
evidence     what is known of a worker before it is killed
reset        resets the machine
pidfile      one rmd per root
directories  the node's directories with their owners
systemd      readiness and watchdog notifications
"""
