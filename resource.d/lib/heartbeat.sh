# SPDX-License-Identifier: GPL-2.0-or-later
# Common ground of the shipped heartbeat resource scripts; sourced, POSIX sh only.
# Each puts its arguments into OCF_RESKEY_ variables and lets the OCF agent of the same deed do it. The action is the
# last argument, and the status is told in words ("running", "stopped"). Source: Linux-HA Heartbeat, resource.d.

# As OCF agent $1 do action $2.
as_ocf() {
	agent=${0%/*}/../ocf/heartbeat/$1
	OCF_RESOURCE_INSTANCE=${OCF_RESOURCE_INSTANCE:-$instance}
	export OCF_RESOURCE_INSTANCE
	case $2 in
	start | stop) "$agent" "$2" ;;
	status | monitor)
		"$agent" monitor
		case $? in
		0) echo running ;;
		7) echo stopped ;;
		*) echo "stopped: the check failed" && return 1 ;;
		esac
		;;
	*)
		echo "usage: $usage {start|stop|status|monitor}" >&2
		return 1
		;;
	esac
}
