#!/bin/sh
# Boots systemd as the first process of namespaces of its own, over copies of /etc, /usr/local and /var that are gone
# afterwards: a machine on which to install, without any of this one's units. Begun by machine_test.go as
#   boot.sh DIRECTORY CGROUP    as process 1 of new pid, mount, uts and ipc namespaces
# DIRECTORY is empty and the machine's to use; CGROUP is a name for its control group.
set -eu
dir=$1 group=$2
if [ $# = 2 ]; then
	mount --make-rprivate /
	mount -t proc proc /proc
	mkdir "$dir/cgroup" "$dir/over"
	mount -t cgroup2 none "$dir/cgroup"
	mkdir "$dir/cgroup/$group"
	echo 0 >"$dir/cgroup/$group/cgroup.procs"
	exec unshare --cgroup sh "$0" "$dir" "$group" within
fi
umount "$dir/cgroup"
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 none /sys/fs/cgroup
mount --bind /proc/sys /proc/sys # systemd would set some of it for everybody
mount -o remount,bind,ro /proc/sys
mount --bind /dev/null /dev/console
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs "$dir/over"
for d in etc usr/local var; do
	mkdir -p "$dir/over/$d/upper" "$dir/over/$d/work"
	mount -t overlay -o "lowerdir=/$d,upperdir=$dir/over/$d/upper,workdir=$dir/over/$d/work" overlay "/$d"
done
mount -t tmpfs -o mode=755 tmpfs /etc/systemd/system
mkdir /run/targets
for u in sysinit basic shutdown umount network-online sockets multi-user; do
	printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' "$u" >"/run/targets/$u.target"
done
exec env -i container=sealgate PATH="$PATH" SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/targets SYSTEMD_GENERATOR_PATH=/run/none \
	/lib/systemd/systemd --system --unit=basic.target --log-target=null --show-status=no
