#!/usr/bin/env bash
# A machine for a story: this one as far as it is read, and of its own what is written below /etc, /usr/local, /var and
# /run, and systemd with no unit but those that the story installs. All that is gone with its last process.
#
#   machine.sh outside FOLDER    in a namespace of mounts of its own, as root. FOLDER/story is run by `bash` with the
#                                variables of this process; FOLDER/out and FOLDER/err are what it said
set -euo pipefail
folder=$2

outside() {
    # systemd wants a control group to itself.
    mkdir "$folder/groups"
    mount -t cgroup2 none "$folder/groups"
    group="$folder/groups$(sed -n 's/^0:://p' /proc/self/cgroup)/bitcraps-test-$$"
    mkdir "$group"
    trap 'remove_group' EXIT
    (
        echo 0 >"$group/cgroup.procs"
        # If this is killed, everything on the machine is.
        exec setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount --uts --ipc --cgroup -- \
            bash "$0" inside "$folder"
    )
}

remove_group() {
    # The last process may still be dying.
    for _ in $(seq 50); do
        if find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; then
            return
        fi
        sleep 0.1
    done
}

inside() {
    mount -t tmpfs -o mode=0755 none /run
    mkdir -p /run/machine/units /run/machine/nothing
    for part in etc usr/local var; do
        mkdir -p "/run/machine/disk/$part" "/run/machine/work/$part"
        mount -t overlay overlay \
            -o "lowerdir=/$part,upperdir=/run/machine/disk/$part,workdir=/run/machine/work/$part" "/$part"
    done
    # Neither its services nor its settings.
    mount -t tmpfs -o mode=0755 none /etc/systemd/system
    mount -t proc proc /proc
    mount --bind /proc/sys /proc/sys
    mount -o remount,bind,ro /proc/sys
    mount --bind /sys /sys
    mount -o remount,bind,ro /sys
    mount -t cgroup2 none /sys/fs/cgroup

    for target in sysinit basic timers shutdown network-online multi-user; do
        printf '[Unit]\nDefaultDependencies=no\n' >"/run/machine/units/$target.target"
    done
    cat >/run/machine/units/story.service <<UNIT
[Unit]
DefaultDependencies=no
SuccessAction=exit-force
FailureAction=exit-force

[Service]
Type=oneshot
ExecStart=/bin/bash -c '. /run/machine/variables; exec bash $folder/story'
StandardOutput=file:$folder/out
StandardError=file:$folder/err
UNIT
    export container=test
    export SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/machine/units
    export SYSTEMD_GENERATOR_PATH=/run/machine/nothing
    export SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/run/machine/nothing
    export -p >/run/machine/variables
    exec /lib/systemd/systemd --system --unit=story.service --show-status=no --log-target=null
}

"$1"
