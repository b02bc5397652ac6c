#!/bin/sh
# A throwaway PostgreSQL primary with a standby, pgweir in front of it, a short pgbench with SHOW POOLS
# beside it; then it stays up until Ctrl-C. Everything is in one temporary directory, which goes at the end.
set -eu

repository=$(cd "$(dirname "$0")/.." && pwd)
pgweir=${PGWEIR_BIN:-${CARGO_TARGET_DIR:-$repository/target}/release/pgweir}
[ -x "$pgweir" ] || { echo "build it first: cargo build --release -p pgweir-proxy" >&2; exit 1; }

# The newest server that is installed.
programs=
for initdb in $(ls -d /usr/lib/postgresql/*/bin/initdb | sort -V); do
    programs=$(dirname "$initdb")
done

# PostgreSQL refuses to run as root.
if [ "$(id -u)" = 0 ]; then
    user=postgres
    id postgres >/dev/null 2>&1 || user=nobody
    group=$(id -g "$user")
    unprivileged() { setpriv --reuid="$user" --regid="$group" --clear-groups -- "$@"; }
    own() { chown -R "$user:$group" "$1"; }
else
    unprivileged() { "$@"; }
    own() { :; }
fi

# Nobody's settings but ours.
unset PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGSERVICE PGSSLMODE PGOPTIONS 2>/dev/null || :
cd /

room=$(mktemp -d "${TMPDIR:-/tmp}/pgweir-demo-XXXXXX")
chmod 755 "$room"
pooler=

clean_up() {
    trap '' INT TERM HUP
    echo
    echo "cleaning up"
    if [ -n "$pooler" ]; then
        kill -QUIT "$pooler" 2>/dev/null || :
        wait "$pooler" 2>/dev/null || :
    fi
    for server in standby primary; do
        if [ -f "$room/$server/data/postmaster.pid" ]; then
            unprivileged "$programs/pg_ctl" -D "$room/$server/data" -m immediate -s stop || :
        fi
    done
    rm -rf "$room"
}
trap clean_up EXIT
# Ctrl-C is how it is meant to end.
trap 'exit 0' INT
trap 'exit 143' TERM HUP

# 6432 or the next one that is free; servers take what follows.
port=${PORT:-6432}
free_port() {
    while python3 -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1)' "$1" 2>/dev/null; do
        set -- $(($1 + 1))
    done
    echo "$1"
}
port=$(free_port "$port")
primary_port=$(free_port $((port + 1)))
standby_port=$(free_port $((primary_port + 1)))

start_server() {
    # The log is in the room; pg_ctl says what is wrong.
    unprivileged "$programs/pg_ctl" -D "$room/$1/data" -l "$room/$1/log" -w -s start -o "-p $2 -k $room/$1 -c fsync=off"
}

echo "starting a PostgreSQL primary and a standby in $room"
mkdir "$room/primary" "$room/standby"
own "$room/primary"
own "$room/standby"
unprivileged "$programs/initdb" --no-sync -U postgres -A trust -D "$room/primary/data" >"$room/initdb.log"
unprivileged sh -c "cat >>'$room/primary/data/postgresql.conf'" <<CONF
listen_addresses = '127.0.0.1'
max_connections = 100
CONF
unprivileged sh -c "cat >'$room/primary/data/pg_hba.conf'" <<HBA
local all,replication postgres trust
host  all all 127.0.0.1/32 scram-sha-256
HBA
start_server primary "$primary_port"

as_admin() { psql -XAtq -h "$room/primary" -p "$primary_port" -U postgres "$@"; }
as_admin -d postgres -c "CREATE ROLE demo LOGIN PASSWORD 'demo'" -c "CREATE DATABASE shop OWNER demo"
unprivileged "$programs/pg_basebackup" -h "$room/primary" -p "$primary_port" -U postgres -D "$room/standby/data" -R -X stream -c fast
start_server standby "$standby_port"

cat >"$room/pgweir.toml" <<TOML
[pgweir]
listen_addr = ["127.0.0.1"]
listen_port = $port
unix_socket_dir = ""
default_pool_size = 10
admin_users = ["ops"]

[databases.shop]
hosts = ["127.0.0.1:$primary_port"]

# The standby, for those who only read.
[databases.shop_standby]
hosts = ["127.0.0.1:$standby_port"]
dbname = "shop"

[users.demo]
password = "demo"

[users.ops]
password = "ops"
TOML

[ "$port" = "${PORT:-6432}" ] || echo "port ${PORT:-6432} is taken: pgweir listens on $port"
"$pgweir" "$room/pgweir.toml" 2>"$room/pgweir.log" &
pooler=$!
tries=0
until python3 -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1)' "$port" 2>/dev/null; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ] || ! kill -0 "$pooler" 2>/dev/null; then
        cat "$room/pgweir.log" >&2
        exit 1
    fi
    sleep 0.1
done

export PGPASSWORD=demo
pgbench -i -q -s 1 -h 127.0.0.1 -p "$port" -U demo shop 2>/dev/null
as_ops() { PGPASSWORD=ops psql -X -h 127.0.0.1 -p "$port" -U ops -d pgweir "$@"; }

echo
echo "pgbench: 50 clients on 10 server connections, with prepared statements, for 5 seconds"
pgbench -n -S -M prepared -c 50 -j 2 -T 5 -h 127.0.0.1 -p "$port" -U demo shop >"$room/pgbench.log" 2>&1 &
bench=$!
for _ in 1 2; do
    sleep 2
    as_ops -c "SHOW POOLS" | cut -c1-150
done
wait "$bench" || { cat "$room/pgbench.log" >&2; exit 1; }
grep -E '^(tps|latency average|number of transactions|number of failed)' "$room/pgbench.log"
unset PGPASSWORD

cat <<TEXT

pgweir is up on port $port, until Ctrl-C.

  the database:          psql "postgres://demo:demo@127.0.0.1:$port/shop"
  the standby:           psql "postgres://demo:demo@127.0.0.1:$port/shop_standby"
  the console:           psql "postgres://ops:ops@127.0.0.1:$port/pgweir" -c "SHOW POOLS"
  configuration, log:    $room/pgweir.toml, $room/pgweir.log
TEXT

# The trap runs when a signal comes; wait ends by it, sleep would not.
wait "$pooler"
