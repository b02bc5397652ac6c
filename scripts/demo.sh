#!/usr/bin/env bash
# A PostgreSQL primary with a streaming standby, pgweir in front of it, and a short pgbench: all in
# a temporary directory, all gone after Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."

pgweir="${CARGO_TARGET_DIR:-target}/release/pgweir"
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
dir=$(mktemp -d)
pids=()

# PostgreSQL refuses to run as root.
as_user=()
if [ "$(id -u)" -eq 0 ]; then
    id postgres >/dev/null 2>&1 || useradd --system --no-create-home postgres
    as_user=(setpriv --reuid=postgres --regid="$(id -g postgres)" --clear-groups)
    chown postgres "$dir"
fi

clean_up() {
    trap - EXIT INT TERM
    echo
    echo "cleaning up"
    for pid in "${pids[@]}"; do kill -INT "$pid" 2>/dev/null || true; done
    # PostgreSQL's fast shutdown and pgweir's last goodbye take a moment; both end by themselves.
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 0' INT TERM

free_port() {
    python3 - "$1" <<'PYTHON'
import socket, sys
wanted = int(sys.argv[1])
for port in ([] if wanted == 0 else range(wanted, wanted + 100)):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(port)
        sys.exit()
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])
PYTHON
}

start_postgres() { # name port
    "${as_user[@]}" "$bin/postgres" -D "$dir/$1" -p "$2" -k "$dir" -c listen_addresses=127.0.0.1 \
        -c max_connections=60 >"$dir/$1.log" 2>&1 &
    pids+=($!)
    for _ in $(seq 100); do
        "$bin/pg_isready" -q -h 127.0.0.1 -p "$2" && return
        sleep 0.1
    done
    cat "$dir/$1.log" >&2
    exit 1
}

echo "== PostgreSQL: a primary and a streaming standby in $dir"
primary_port=$(free_port 0)
"${as_user[@]}" "$bin/initdb" -D "$dir/primary" -U demo -N --auth=trust >"$dir/initdb.log"
start_postgres primary "$primary_port"
"${as_user[@]}" "$bin/pg_basebackup" -h 127.0.0.1 -p "$primary_port" -U demo -D "$dir/standby" -R -c fast
standby_port=$(free_port 0)
start_postgres standby "$standby_port"
psql -q -h 127.0.0.1 -p "$primary_port" -U demo -d postgres -c 'CREATE DATABASE shop'

port=$(free_port 6432)
[ "$port" = 6432 ] || echo "   port 6432 is taken, pgweir listens on $port"
cat >"$dir/pgweir.toml" <<TOML
[pgweir]
listen_addr = ["127.0.0.1"]
listen_port = $port
unix_socket_dir = ""
default_pool_size = 10
admin_users = ["demo"]
log_connections = false
log_disconnections = false

[databases.shop]
hosts = ["127.0.0.1:$primary_port"]

[databases.shop_readonly]
hosts = ["127.0.0.1:$standby_port"]
dbname = "shop"

[users.demo]
password = "demo"
TOML
echo "== pgweir on port $port"
"$pgweir" check "$dir/pgweir.toml"
"$pgweir" "$dir/pgweir.toml" 2>"$dir/pgweir.log" &
pids+=($!)
export PGPASSWORD=demo
for _ in $(seq 100); do
    "$bin/pg_isready" -q -h 127.0.0.1 -p "$port" -U demo -d shop && break
    sleep 0.1
done

target=(-h 127.0.0.1 -p "$port" -U demo)
echo "== pgbench: 100 clients on 10 server connections, for 6 seconds"
pgbench "${target[@]}" -q -i -s 5 shop 2>&1 | tail -n 1
pgbench "${target[@]}" -n -S -M prepared -c 100 -j 2 -T 6 shop >"$dir/pgbench.log" 2>&1 &
load=$!
for _ in 1 2; do
    sleep 2
    psql "${target[@]}" -d pgweir -c 'SHOW POOLS' | cut -c1-150
done
wait "$load" || { cat "$dir/pgbench.log" >&2; exit 1; }
grep -E 'transactions actually|failed|latency average|tps' "$dir/pgbench.log"
echo "== the standby, through pgweir"
psql "${target[@]}" -d shop_readonly -Atc "SELECT 'in recovery: ' || pg_is_in_recovery() || ', accounts: ' || count(*) FROM pgbench_accounts"

cat <<END

It is all up. In another terminal:

  the database:  psql "postgres://demo:demo@127.0.0.1:$port/shop"
  the standby:   psql "postgres://demo:demo@127.0.0.1:$port/shop_readonly"
  the console:   psql "postgres://demo:demo@127.0.0.1:$port/pgweir" -c 'SHOW POOLS'

Ctrl-C ends it and cleans up.
END
# Until Ctrl-C, or until one of them ends by itself.
wait -n "${pids[@]}" || true
echo "one of the processes has ended; its log:" >&2
tail -n 5 "$dir"/*.log >&2
