# live.sh - running processes for specs, after private_machine: tests/programs/live with the shim in it and, unless the
# spec makes one, no rule for it. It does what it is told and says when it has done it.
mkdir -m 777 "$T/m/w2"
cp "$P/live" "$T/m/live"
W=$T/m/w2
ALICE=23451 BOB=23452
as() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }

# launch NAME command...: with the shim; its pid in $W/NAME.pid, its stdin is tell's
launch() {
	local name=$1
	shift
	rm -f "$W/$name".*
	mkfifo "$W/$name.in"
	: >"$W/$name.out"
	chmod 666 "$W/$name".*
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	"$@" <"$W/$name.in" >"$W/$name.out" 2>&1 &
	echo $! >"$W/$name.job"
	sleep 1000000 >"$W/$name.in" &
	echo $! >"$W/$name.hold"
	wait_for 20 grep -q ready "$W/$name.out"
	rm -f /etc/ld.so.preload
	sed -n 's/^ready //p' "$W/$name.out" >"$W/$name.pid"
	echo 0 >"$W/$name.said"
}
pid() { cat "$W/$1.pid"; }
answers() { [ "$(grep -cE "${3:-done|ready}" "$W/$1.out")" -ge "$2" ]; }
tell() { # NAME line: returns when it is done; exec is answered by the other program's "ready"
	local n=$(($(cat "$W/$1.said") + 1))
	echo "$2" >"$W/$1.in"
	echo $n >"$W/$1.said"
	wait_for 20 answers "$1" $((n + 1))
}
finish() { # NAME: it ends well
	kill "$(cat "$W/$1.hold")"
	wait_for 20 grep -qE '^(ok|bad)' "$W/$1.out"
	grep -q '^ok' "$W/$1.out"
}
is_traced() { $fa status | grep -qE "^ +$1 .* traced "; }
report() { "$FA" report --json "$W/$1.falloc" >"$T/r.json"; json "$T/r.json" "$2"; }
counts='(j["events"]["alloc"], j["events"]["realloc"], j["events"]["free"], j["preexisting_frees"], j["unknown_frees"], j["implied_frees"], j["lost"])'
