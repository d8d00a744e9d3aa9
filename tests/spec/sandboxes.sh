# sandboxes.sh - a flagged service under each of systemd's settings that could be in its way, or it in theirs. Source it
# after guest.sh.
#   sandbox_cases            prints "NAME|EXPECTED|SETTING|SETTING..." a line; EXPECTED:
#                              traced      it rings, and its events are all in the trace
#                              mute        the same; what it says on stdout is what the setting forbids
#                              cured       not traced, for a reason that `firstalloc doctor UNIT` knows; with the drop-in
#                                          that it prints it is traced
#                              said        the same, and ld.so says a line on stderr of its own
#                              no start    nor does it start without firstalloc
#   sandboxes_in DIR         units for each in the guest: flagged ones of `boxed`, and the same of `plain`, which no rule
#                            names; and what runs them at the end of the boot
#   sandboxes_run DIR        flags them, boots the container, and judges
#   sandbox_verdicts DIR TRACE   "NAME: what is wrong" a line, from DIR/results; nothing: all is as expected. The matrix, as
#                            a table, is in $T/matrix
SANDBOX_LIB=/usr/lib/x86_64-linux-gnu/libfirstalloc_preload.so

sandbox_cases() {
	local minimal="read write close openat newfstatat fstat pread64 access mmap munmap mprotect brk execve arch_prctl exit_group"
	local narrow="@basic-io @file-system @io-event @process @signal @timer @sync @ipc @default"
	local all="DynamicUser=yes|ProtectSystem=strict|ProtectHome=yes|PrivateTmp=yes|PrivateDevices=yes|PrivateNetwork=yes|PrivateUsers=yes|ProtectKernelTunables=yes|ProtectKernelModules=yes|ProtectKernelLogs=yes|ProtectControlGroups=yes|ProtectClock=yes|ProtectHostname=yes|ProtectProc=invisible|ProcSubset=pid|NoNewPrivileges=yes|RestrictNamespaces=yes|RestrictRealtime=yes|RestrictSUIDSGID=yes|LockPersonality=yes|MemoryDenyWriteExecute=yes|SystemCallArchitectures=native|CapabilityBoundingSet=|RemoveIPC=yes|UMask=0077|IPAddressDeny=any"
	cat <<-C
		nothing|traced
		user|traced|User=games
		strict|traced|ProtectSystem=strict
		read-only|traced|ReadOnlyPaths=/
		private-tmp|traced|PrivateTmp=yes
		private-mounts|traced|PrivateMounts=yes
		dynamic-user|traced|DynamicUser=yes
		no-new-privileges|traced|NoNewPrivileges=yes|User=games
		families-unix-inet|traced|RestrictAddressFamilies=AF_UNIX AF_INET
		families-inet|traced|RestrictAddressFamilies=AF_INET
		families-none|traced|RestrictAddressFamilies=none
		calls-service|traced|SystemCallFilter=@system-service
		calls-memfd-killed|traced|SystemCallFilter=~memfd_create
		calls-memfd-refused|traced|SystemCallFilter=~memfd_create|SystemCallErrorNumber=EPERM
		calls-no-network-killed|traced|SystemCallFilter=$narrow
		calls-no-network-refused|traced|SystemCallFilter=$narrow|SystemCallErrorNumber=EPERM
		calls-process|traced|SystemCallFilter=@basic-io @file-system @process
		calls-files|traced|SystemCallFilter=@basic-io @file-system
		calls-files-alone|traced|SystemCallFilter=@file-system write read pread64
		calls-minimal-killed|traced|SystemCallFilter=$minimal
		calls-minimal-refused|traced|SystemCallFilter=$minimal|SystemCallErrorNumber=EPERM
		calls-fcntl-killed|traced|SystemCallFilter=~fcntl
		calls-fcntl-refused|traced|SystemCallFilter=~fcntl|SystemCallErrorNumber=EPERM
		calls-futex-killed|traced|SystemCallFilter=~futex
		calls-futex-refused|traced|SystemCallFilter=~futex|SystemCallErrorNumber=EPERM
		calls-privileged|traced|SystemCallFilter=~@privileged @resources @mount @debug @cpu-emulation @obsolete @module @raw-io @reboot @swap @clock @keyring
		no-write-exec|traced|MemoryDenyWriteExecute=yes
		private-network|traced|PrivateNetwork=yes
		private-users|traced|PrivateUsers=yes
		private-users-user|traced|PrivateUsers=yes|User=games
		private-devices|traced|PrivateDevices=yes
		private-ipc|traced|PrivateIPC=yes
		protect-proc|traced|ProtectProc=invisible|ProcSubset=pid|User=games
		tmpfs-run|traced|TemporaryFileSystem=/run
		no-run|no start|InaccessiblePaths=/run
		tmpfs-var|traced|TemporaryFileSystem=/var:ro
		tmpfs-etc|cured|TemporaryFileSystem=/etc:ro
		tmpfs-etc-line|cured|TemporaryFileSystem=/etc:ro|BindReadOnlyPaths=/etc/ld.so.preload
		tmpfs-etc-both|traced|TemporaryFileSystem=/etc:ro|BindReadOnlyPaths=/etc/ld.so.preload /etc/firstalloc
		no-firstalloc|cured|InaccessiblePaths=/etc/firstalloc
		no-door|cured|InaccessiblePaths=/etc/firstalloc/door
		exec-lib|traced|NoExecPaths=/|ExecPaths=/usr/bin /usr/lib /usr/lib64 /lib /lib64
		exec-without-lib|said|NoExecPaths=/|ExecPaths=/usr/bin /usr/lib/x86_64-linux-gnu/libc.so.6 /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 /usr/lib64
		no-lib|said|InaccessiblePaths=$SANDBOX_LIB
		read-only-run|traced|ReadOnlyPaths=/run
		file-size|traced|LimitFSIZE=4096
		file-size-0|mute|LimitFSIZE=0
		files-4|traced|LimitNOFILE=4
		files-3|no start|LimitNOFILE=3
		address-space-16|traced|LimitAS=16M
		address-space-10|traced|LimitAS=10M
		address-space-3|cured|LimitAS=3900K
		data|traced|LimitDATA=4M
		memlock-0|traced|LimitMEMLOCK=0
		locks-0|traced|LimitLOCKS=0
		processes-1|traced|User=games|LimitNPROC=1
		real-time|traced|LimitRTTIME=1000
		memory-max|traced|MemoryMax=8M
		no-capabilities|traced|CapabilityBoundingSet=
		no-namespaces|traced|RestrictNamespaces=yes
		root|cured|RootDirectory=/srv/root
		root-bound|traced|RootDirectory=/srv/root|BindReadOnlyPaths=/etc/ld.so.preload $SANDBOX_LIB /etc/firstalloc
		root-bound-strict|traced|RootDirectory=/srv/root|BindReadOnlyPaths=/etc/ld.so.preload $SANDBOX_LIB /etc/firstalloc|DynamicUser=yes|ProtectSystem=strict
		root-own-lib|cured|RootDirectory=/srv/root2
		root-own-lib-bound|traced|RootDirectory=/srv/root2|MountAPIVFS=yes|BindReadOnlyPaths=/etc/firstalloc
		all|traced|$all|SystemCallFilter=@system-service|SystemCallFilter=~@privileged @resources|RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
		all-tight|traced|$all|SystemCallFilter=@system-service|SystemCallFilter=~@privileged @resources @network-io memfd_create|RestrictAddressFamilies=none|LimitFSIZE=4096|LimitNOFILE=32|LimitAS=32M|ReadOnlyPaths=/|MemoryMax=8M
	C
}

# A root of its own has what the program needs, and no more.
sandbox_root() {
	local root=$1/srv/$2
	mkdir -p "$root"/{etc,usr/bin,usr/lib/x86_64-linux-gnu,usr/lib64,run,proc,sys,dev,tmp,var/tmp}
	ln -sfn usr/lib "$root/lib"
	ln -sfn usr/lib64 "$root/lib64"
	cp "$P/boxed" "$root/usr/bin/boxed"
	cp "$P/boxed" "$root/usr/bin/plain"
	cp -L "$1/usr/lib/x86_64-linux-gnu/libc.so.6" "$root/usr/lib/x86_64-linux-gnu/"
	cp -L "$1/usr/lib64/ld-linux-x86-64.so.2" "$root/usr/lib64/"
}

sandbox_unit() { # DIR UNIT PROGRAM N SETTINGS, divided by newlines
	printf '[Service]\nType=oneshot\nExecStart=/usr/bin/%s %d\nStandardOutput=append:/results/%s.out\nStandardError=append:/results/%s.err\n%s\n' \
		"$3" "$4" "$2" "$2" "$5" >"$1/etc/systemd/system/$2.service"
}

sandboxes_in() {
	local name expected settings n=1000
	install -d -m 1777 "$1/results"
	guest_program "$1" boxed boxed plain
	sandbox_root "$1" root
	sandbox_root "$1" root2
	cp "$1$SANDBOX_LIB" "$1/srv/root2$SANDBOX_LIB"
	cp "$1/etc/ld.so.preload" "$1/srv/root2/etc/"
	: >"$1/usr/lib/sandboxes"
	while IFS='|' read -r name expected settings; do
		n=$((n + 2))
		sandbox_unit "$1" "b-$name" boxed $n "${settings//|/$'\n'}"
		sandbox_unit "$1" "p-$name" plain $n "${settings//|/$'\n'}"
		echo "$name $n ${expected// /-}" >>"$1/usr/lib/sandboxes"
	done <<<"$(sandbox_cases)"
	# Each twice; and with the drop-in that the doctor prints once more.
	cat >"$1/usr/lib/run-sandboxes" <<-'R'
		how() { systemctl show -p Result,ExecMainCode,ExecMainStatus "$1.service" | sort | tr '\n' ' ' >"/results/$1.how"; }
		while read -r name n expected; do
			systemctl start "p-$name.service" 2>/dev/null; how "p-$name"
			systemctl start "b-$name.service" 2>/dev/null; how "b-$name"
		done </usr/lib/sandboxes
		while read -r name n expected; do
			firstalloc doctor "b-$name.service" >"/results/$name.doctor" 2>&1
			grep -q '^\[Service\]' "/results/$name.doctor" || continue
			mkdir -p "/run/systemd/system/b-$name.service.d"
			sed -n '/^\[Service\]/,/^$/p' "/results/$name.doctor" >"/run/systemd/system/b-$name.service.d/firstalloc.conf"
			sed -i "s|^ExecStart=.*|ExecStart=/usr/bin/boxed $((n + 1))|; s|:/results/b-$name|:/results/c-$name|" "/etc/systemd/system/b-$name.service"
		done </usr/lib/sandboxes
		systemctl daemon-reload
		for f in /run/systemd/system/b-*.service.d; do
			[ -e "$f" ] || continue
			name=${f##*/b-}; name=${name%.service.d}
			systemctl start "b-$name.service" 2>/dev/null
			systemctl show -p Result,ExecMainCode,ExecMainStatus "b-$name.service" | sort | tr '\n' ' ' >"/results/c-$name.how"
		done
		firstalloc status --json >/results/status.json
	R
}

# Flagged and recorded from boot; what is not as expected is printed, and is an error.
sandboxes_run() {
	guest_service "$1" all 'After=multi-user.target
[Service]
Type=oneshot
ExecStart=-/bin/bash /usr/lib/run-sandboxes
ExecStart=/bin/systemctl --no-block poweroff'
	"$FA" --root "$1" enable boxed >/dev/null
	"$FA" --root "$1" autologger enable boot >/dev/null
	container_boot "$1" || return
	sandbox_verdicts "$1" "$1/var/log/firstalloc/boot.falloc" >"$T/wrong"
	cat "$T/wrong"
	same "$(wc -l <"$T/wrong")" 0
}

sandbox_verdicts() {
	"$FA" report --json "$2" >"$T/r.json" || return
	python3 - "$1" "$T/r.json" "$T/matrix" <<-'PY'
	import json, sys, os
	root, report, matrix = sys.argv[1:]
	got = {}
	for p in json.load(open(report))['processes']:
	    if p['image'] == 'boxed':
	        k = p['events_by_kind']
	        got.setdefault(k['alloc'], []).append((k['free'], p['lost']))
	def text(name):
	    try:
	        return open(os.path.join(root, 'results', name)).read()
	    except FileNotFoundError:
	        return ''
	def was(n):
	    return got.get(n) == [(n // 2, 0)]
	out = open(matrix, 'w')
	for line in open(root + '/usr/lib/sandboxes'):
	    name, n, expected = line.split()
	    n = int(n)
	    doctor = text(name + '.doctor')
	    drop_in = [l for l in doctor.splitlines() if '=' in l and l[0].isupper() and ' ' not in l.split('=')[0]]
	    wrong = []
	    if text('b-' + name + '.how') != text('p-' + name + '.how'):
	        wrong.append('ended %s and not %s' % (text('b-' + name + '.how'), text('p-' + name + '.how')))
	    if text('b-' + name + '.out') != text('p-' + name + '.out'):
	        wrong.append('another output')
	    if (text('p-' + name + '.out') == 'ran\n') != (expected not in ('no-start', 'mute')):
	        wrong.append('without firstalloc it says %r %r' % (text('p-' + name + '.out'), text('p-' + name + '.err')))
	    if text('b-' + name + '.err') != text('p-' + name + '.err'):
	        wrong.append('another stderr: ' + text('b-' + name + '.err'))
	    lines = text('p-' + name + '.err').count('\n')
	    if lines and expected not in ('said', 'no-start') or expected == 'said' and lines != 1:
	        wrong.append('stderr: ' + text('p-' + name + '.err'))
	    if was(n) != (expected in ('traced', 'mute')) or n in got and not was(n):
	        wrong.append('trace: %r' % got.get(n))
	    if (expected in ('cured', 'said')) != bool(drop_in):
	        wrong.append('doctor: ' + doctor)
	    if expected in ('cured', 'said') and not (was(n + 1) and text('c-' + name + '.out') == 'ran\n' and not text('c-' + name + '.err')):
	        wrong.append('not cured by %r: trace %r, stderr %r' % (drop_in, got.get(n + 1), text('c-' + name + '.err')))
	    problem = [l for l in doctor.splitlines() if l.startswith('problem')]
	    print('| %s | %s | %s |' % (name, {'no-start': 'does not start, nor without', 'said': 'not traced, ld.so says a line'}.get(expected, 'traced' if was(n) else 'not traced, silent'),
	        '; '.join(drop_in) if expected in ('cured', 'said') else ''), file=out)
	    for w in wrong:
	        print(name + ': ' + w)
	PY
}
