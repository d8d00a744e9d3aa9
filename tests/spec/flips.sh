# flips.sh - flips N: N starts while another process enables and disables their rule. Behind private_machine.
# Each is traced whole or not at all, ends with 0 and prints nothing but its own; the index is sound all along.
flips() {
	local stop=$T/flips.stop
	$fa stop s >/dev/null 2>&1 || true
	rm -f "$stop" "$T/bad" "$T/s.falloc"
	$fa start s -o "$T/s.falloc" --min-free 0 >/dev/null
	$fa enable faller >/dev/null
	( while [ ! -e "$stop" ]; do
		$fa disable faller >/dev/null || echo disable >>"$T/bad"
		$fa enable faller >/dev/null || echo enable >>"$T/bad"
		$fa images --published --json >/dev/null || echo index >>"$T/bad"
	done ) 2>>"$T/bad" &
	local flipper=$! before after
	before=$($fa images --published --json | sed -n 's/.*"generation": \([0-9]*\).*/\1/p')
	echo "$T/m/libfirstalloc_preload.so" >/etc/ld.so.preload
	seq "$1" | xargs -P 4 -I{} sh -c '[ "$("$1" 0 2>&1)" = up ] || echo "start {}" >>"$2"' - "$FALLER" "$T/bad"
	rm /etc/ld.so.preload
	touch "$stop"
	wait $flipper
	after=$($fa images --published --json | sed -n 's/.*"generation": \([0-9]*\).*/\1/p')
	$fa stop s >/dev/null
	$fa disable faller >/dev/null 2>&1 || true
	[ ! -s "$T/bad" ] || { head "$T/bad"; return 1; }
	"$FA" report --json "$T/s.falloc" >"$T/r.json"
	# who is traced has all of its events: two blocks at least, and each of them freed
	json "$T/r.json" "(len(j['processes']), j['lost'], sum(p['events'] < 4 for p in j['processes']))" >"$T/o"
	echo "generations $before to $after; traced, lost, cut: $(cat "$T/o")"
	same "$(json "$T/r.json" "0 < len(j['processes']) < $1 and j['lost'] == 0 and all(p['events'] >= 2 for p in j['processes'])")" true
	[ $((after - before)) -gt 10 ]
}
