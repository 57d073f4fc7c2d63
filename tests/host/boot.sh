#!/bin/sh
# boot.sh DIR ROOT [PROGRAM]: systemd as PID 1 on an overlay of ROOT with the files of DIR/files in it, and the program if one is
# named, in namespaces of its own except for the network, until standard input ends. Prints the process whose first child is that
# PID 1.
set -eu
export dir=$1 lower=$2 program=${3:-}
mkdir -p "$dir/root" "$dir/rw"

# A control group of its own, so that nothing of the host's is touched.
groups=
for type in systemd memory pids unified .; do
  group=/sys/fs/cgroup/$type/trailwarden-host-$$
  grep -q " /sys/fs/cgroup/$type cgroup" /proc/mounts || [ "$type" = . -a -e /sys/fs/cgroup/cgroup.procs ] || continue
  mkdir "$group"
  echo $$ >"$group/cgroup.procs"
  groups="$groups $group"
done

unshare --mount --pid --ipc --uts --cgroup --fork --kill-child --propagation private sh -euc '
  mount -t tmpfs tmpfs "$dir/rw"
  mkdir "$dir/rw/upper" "$dir/rw/work"
  cp -a "$dir/files/." "$dir/rw/upper/"
  chown -R 0:0 "$dir/rw/upper"
  mount -t overlay overlay -o "lowerdir=$lower,upperdir=$dir/rw/upper,workdir=$dir/rw/work" "$dir/root"
  cd "$dir/root"
  if [ -n "$program" ]; then
    touch usr/bin/trailwarden
    mount --bind "$program" usr/bin/trailwarden
  fi
  # Neither hardware nor the kernel is this machine'"'"'s to set up.
  rm -rf usr/lib/systemd/system/sysinit.target.wants
  mount -t proc proc proc
  mount --bind proc/sys proc/sys
  mount -o remount,bind,ro proc/sys
  mount --rbind /dev dev
  mount -t sysfs -o ro sysfs sys
  mount -t tmpfs tmpfs run
  mount -t tmpfs tmpfs tmp
  if [ -e /sys/fs/cgroup/cgroup.procs ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
  else
    mount -t tmpfs tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/systemd sys/fs/cgroup/memory sys/fs/cgroup/pids sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
    mount -t cgroup -o memory cgroup sys/fs/cgroup/memory
    mount -t cgroup -o pids cgroup sys/fs/cgroup/pids
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
  fi
  mkdir -p old
  pivot_root . old
  umount -l /old
  # Credentials are handed to a service by a mount that has to reach it.
  mount --make-rshared /
  exec env -i container=namespaces PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=host.target --show-status=0
' </dev/null >"$dir/console" 2>&1 &
machine=$!
echo $machine
cat >/dev/null
kill -KILL $machine 2>/dev/null || true
wait $machine 2>/dev/null || true
for group in $groups; do
  echo $$ >"${group%/*}/cgroup.procs"
  # What was killed may still be leaving.
  for try in 1 2 3 4 5 6 7 8 9 10; do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
    sleep 0.2
  done
done
