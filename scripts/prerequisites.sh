#!/bin/sh
# Installs what is needed and this machine lacks: for the tests and benches; with --demo for the demo alone.
# Changes nothing where all is there.
set -eu

# A Debian package is wanted if the command (or file) it brings is missing.
wanted=
want() { wanted="$wanted $1"; }

has_server() {
    for initdb in /usr/lib/postgresql/*/bin/initdb; do
        [ -x "$initdb" ] && return 0
    done
    return 1
}

has_libclang() {
    for library in /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so*; do
        case "$library" in
        *libclang-cpp* | *'*'*) ;;
        *) return 0 ;;
        esac
    done
    return 1
}

has() { command -v "$1" >/dev/null 2>&1; }

has_server || want postgresql
has psql || want postgresql-client
has pgbench || want postgresql-contrib
has cc || want build-essential
has setpriv || want util-linux
has python3 || want python3
if [ "${1:-}" != --demo ]; then
    [ -x /usr/sbin/slapd ] || want slapd
    # The binding of PostgreSQL's parser, in tests/parser, is made from its headers.
    has_libclang || want libclang-dev
    [ -e /usr/include/security/pam_appl.h ] || want libpam0g-dev
    # Debian keeps what makes virtual environments apart from Python.
    python3 -c 'import ensurepip, venv' 2>/dev/null || want python3-venv
    has node || want nodejs
    has npm || want npm
    # Look after the cluster of some tests.
    has patroni || want 'patroni python3-etcd'
    has etcd || want etcd-server
    # Makes networks that can be cut.
    has ip || want iproute2
    # Judges what we tell monitors.
    has promtool || want prometheus
    # Stands beside pgweir in tests and benches.
    [ -x /usr/sbin/pgbouncer ] || want pgbouncer
fi

[ -n "$wanted" ] || exit 0

if ! has apt-get; then
    echo "needed, and not here:$wanted (names of Debian's packages)" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=
elif has sudo; then
    as_root=sudo
else
    echo "needed, and neither root nor sudo to install it:$wanted" >&2
    exit 1
fi

echo "installing:$wanted"
# Debian starts a server of its own after the installation, unless told not to: nobody here uses it.
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    $as_root mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' | $as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
fi
# Nor one of LDAP.
case "$wanted " in
*" slapd "*) echo 'slapd slapd/no_configuration boolean true' | $as_root debconf-set-selections ;;
esac
# Nor a PgBouncer, whose package has no setting for that: no package starts a service while this runs.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '$as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi
$as_root apt-get update -q
# shellcheck disable=SC2086 # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $wanted
