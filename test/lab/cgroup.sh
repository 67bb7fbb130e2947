# shellcheck shell=bash
# The cgroups of a lab: hanok-lab-ID/GROUP in every hierarchy that the machine has, be it cgroup v1
# (one tree a controller), or v2 (one tree).

# Prints "v2 MOUNTPOINT" or, for each v1 hierarchy, "v1 MOUNTPOINT OPTIONS". A cgroup2 tree beside v1
# ones ("hybrid") has no controllers and is left out: runtimes would take its sight for v2.
cgroup_hierarchies() {
	if [ -z "${CGROUP_HIERARCHIES:-}" ]; then
		if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
			CGROUP_HIERARCHIES="v2 /sys/fs/cgroup -"
		else
			# Options as mounted: the controllers are those that are not options of every mount.
			CGROUP_HIERARCHIES=$(awk '{
				split($0, part, " - "); split(part[1], before, " "); split(part[2], after, " ")
				if (after[1] != "cgroup" || seen[after[3]]++) next
				n = split(after[3], option, ","); names = ""
				for (i = 1; i <= n; i++)
					if (option[i] !~ /^(rw|ro|none|xattr|clone_children|noprefix|release_agent=.*)$/)
						names = names (names == "" ? "" : ",") option[i]
				print "v1", before[5], names }' /proc/self/mountinfo)
		fi
	fi
	echo "$CGROUP_HIERARCHIES"
}

# cgroup_create GROUP: makes the group everywhere.
cgroup_create() {
	local version mountpoint options group="$LAB_CGROUP/$1" parent
	while read -r version mountpoint options; do
		if [ "$version" = v2 ]; then
			mkdir -p "$mountpoint/$group"
			for parent in "$mountpoint" "$mountpoint/$LAB_CGROUP"; do
				for options in $(cat "$parent/cgroup.controllers"); do
					echo "+$options" >"$parent/cgroup.subtree_control" 2>/dev/null || true
				done
			done
			continue
		fi
		case ",$options," in *,cpuset,*)
			# A new cpuset is empty and takes no process until it is filled, top down.
			for parent in "$LAB_CGROUP" "$group"; do
				mkdir -p "$mountpoint/$parent"
				cat "$mountpoint/cpuset.cpus" >"$mountpoint/$parent/cpuset.cpus"
				cat "$mountpoint/cpuset.mems" >"$mountpoint/$parent/cpuset.mems"
				echo 1 >"$mountpoint/$parent/cgroup.clone_children"
			done ;;
		esac
		mkdir -p "$mountpoint/$group"
	done < <(cgroup_hierarchies)
}

# cgroup_join GROUP: moves the calling shell. In v2 a lab host keeps its own processes in GROUP/init, since
# a group that hands controllers on can't hold processes.
cgroup_join() {
	local version mountpoint group="$LAB_CGROUP/$1"
	while read -r version mountpoint _; do
		if [ -d "$mountpoint/$group/init" ] && [ "$version" = v2 ]; then
			echo "$BASHPID" >"$mountpoint/$group/init/cgroup.procs"
		else
			echo "$BASHPID" >"$mountpoint/$group/cgroup.procs"
		fi
	done < <(cgroup_hierarchies)
}

# cgroup_processes [GROUP]: the PIDs in it and below.
cgroup_processes() {
	local version mountpoint
	while read -r version mountpoint _; do
		[ -d "$mountpoint/$LAB_CGROUP" ] || continue
		find "$mountpoint/$LAB_CGROUP/${1:-}" -name cgroup.procs -exec cat {} + 2>/dev/null
	done < <(cgroup_hierarchies) | sort -un
}

# cgroup_remove: the lab's whole tree. The kernel lets go of a group a moment after its last process, so
# this is tried until a deadline.
cgroup_remove() {
	local version mountpoint deadline=$((SECONDS + 10)) left
	while :; do
		left=
		while read -r version mountpoint _; do
			[ -d "$mountpoint/$LAB_CGROUP" ] || continue
			find "$mountpoint/$LAB_CGROUP" -depth -type d -exec rmdir {} \; 2>/dev/null
			[ -d "$mountpoint/$LAB_CGROUP" ] && left="$left $mountpoint/$LAB_CGROUP"
		done < <(cgroup_hierarchies)
		[ -z "$left" ] && return 0
		[ $SECONDS -ge $deadline ] && break
		sleep 0.05
	done
	echo "control groups left:$left" >&2
	return 1
}
