# SPDX-License-Identifier: GPL-2.0-or-later
# Common ground of the shipped OCF agents; sourced, POSIX sh only.
# Contract: OCF Resource Agent API 1.1.

OCF_SUCCESS=0 OCF_ERR_GENERIC=1 OCF_ERR_ARGS=2 OCF_ERR_UNIMPLEMENTED=3
OCF_ERR_PERM=4 OCF_ERR_INSTALLED=5 OCF_ERR_CONFIGURED=6 OCF_NOT_RUNNING=7

instance=${OCF_RESOURCE_INSTANCE:-default}
node=${HA_CURHOST:-$(uname -n)}
state_dir=${HA_RSCTMP:-/run/resource-agents}

# The reason of a failure, for the operator.
reason() {
	printf 'ocf-exit-reason:%s\n' "$*" >&2
}

need_state_dir() {
	mkdir -p "$state_dir" 2>/dev/null && [ -w "$state_dir" ] && return 0
	reason "$state_dir cannot be written"
	exit $OCF_ERR_PERM
}

# When the process began, in clock ticks since boot: tells it from a later one with its number. Fails without one.
start_ticks() {
	[ -r "/proc/$1/stat" ] || return 1
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	# Field 2, the command in parentheses, may hold blanks itself.
	set -- ${stat##*) }
	[ "$1" != Z ] && [ "$1" != X ] && echo "${20}"
}

# Whether the process of a "pid ticks ..." line is the one that was noted, and lives.
is_alive() {
	[ -n "$1" ] && [ -n "$2" ] && [ "$(start_ticks "$1")" = "$2" ]
}

# A short rest between two looks; sleeps of less than a second are not POSIX, but common.
nap() {
	sleep 0.02 2>/dev/null || sleep 1
}
