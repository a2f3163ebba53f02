# SPDX-License-Identifier: GPL-2.0-or-later
"""What apphbd touches.

loop      waits, steps the core, carries out its effects
beats     datagrams of beats, with the kernel's word on who sent them
notices   datagrams of programs that speak the notify protocol
ancestry  which process descends from which
applications  the classic apphb socket
links     a listening stream socket for workers and programs (rmd uses it too)
stderr    standard error, without ever waiting for it (rmd uses it too)
rmd       the other half of the root pair: its channel, its life, its replacement
watchdog  the kernel's watchdog device
realtime  scheduling and locked memory
"""
