#!/bin/bash
# Keeps the contract of the official image's entry point: makes the database on the first start, from
# POSTGRES_PASSWORD, POSTGRES_USER, POSTGRES_DB, POSTGRES_INITDB_ARGS (each also as …_FILE),
# POSTGRES_HOST_AUTH_METHOD and PGDATA, runs /docker-entrypoint-initdb.d, and becomes the server.
set -euo pipefail

# from_file NAME DEFAULT: the value may be in a file, as secrets are.
from_file() {
  local name=$1 file_name=$1_FILE value=$2
  if [ -n "${!name:-}" ] && [ -n "${!file_name:-}" ]; then
    echo >&2 "error: both $name and $file_name are set (but are exclusive)"
    exit 1
  fi
  if [ -n "${!name:-}" ]; then
    value=${!name}
  elif [ -n "${!file_name:-}" ]; then
    value=$(<"${!file_name}")
  fi
  export "$name"="$value"
  unset "$file_name"
}

require_a_password() {
  if [ -z "$POSTGRES_PASSWORD" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
    cat >&2 <<'MESSAGE'
Error: Database is uninitialized and superuser password is not specified.
       You must specify POSTGRES_PASSWORD to a non-empty value for the
       superuser. For example, "-e POSTGRES_PASSWORD=password" on "docker run".

       You may also use "POSTGRES_HOST_AUTH_METHOD=trust" to allow all
       connections without a password. This is *not* recommended.
MESSAGE
    exit 1
  fi
}

make_database() {
  [ "${1:-}" != postgres ] || shift
  local arguments=()
  eval "arguments=(${POSTGRES_INITDB_ARGS:-})"
  initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") "${arguments[@]}"
  local method=${POSTGRES_HOST_AUTH_METHOD:-}
  [ -n "$method" ] || method=$(postgres -C password_encryption "$@")
  printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
}

# On the unix socket only, so that nobody outside takes it for ready.
start_temporary_server() {
  [ "${1:-}" != postgres ] || shift
  PGUSER=$POSTGRES_USER pg_ctl -D "$PGDATA" -o "$(printf '%q ' "$@" -c listen_addresses= -p "${PGPORT:-5432}")" -w start
}
stop_temporary_server() { PGUSER=$POSTGRES_USER pg_ctl -D "$PGDATA" -m fast -w stop; }

run_sql() {
  PGHOST='' PGHOSTADDR='' psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --no-psqlrc --dbname "$POSTGRES_DB" "$@"
}

make_wanted_database() {
  local wanted=$POSTGRES_DB
  if [ "$wanted" != postgres ]; then
    POSTGRES_DB=postgres run_sql --set db="$wanted" <<<'CREATE DATABASE :"db" ;'
    echo
  fi
}

run_init_files() {
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh)
        echo "$0: running $file"
        # shellcheck source=/dev/null
        if [ -x "$file" ]; then "$file"; else . "$file"; fi
        ;;
      *.sql)
        echo "$0: running $file"
        run_sql -f "$file"
        ;;
      *.sql.gz)
        echo "$0: running $file"
        gunzip -c "$file" | run_sql
        ;;
      */\*) ;;
      *) echo "$0: ignoring $file" ;;
    esac
  done
}

main() {
  if [ "${1#-}" != "${1:-}" ]; then set -- postgres "$@"; fi
  if [ "${1:-}" != postgres ]; then exec "$@"; fi
  case " $* " in *' --help '* | *' -? '* | *' --version '* | *' -V '* | *' -C '* | *' --describe-config '*) exec "$@" ;; esac

  if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    find "$PGDATA" ! -user postgres -exec chown postgres '{}' +
    chmod 00700 "$PGDATA"
    mkdir -p /var/run/postgresql
    chown postgres /var/run/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups env HOME=/var/lib/postgresql "$0" "$@"
  fi

  mkdir -p "$PGDATA"
  chmod 00700 "$PGDATA" 2>/dev/null || true
  if [ -s "$PGDATA/PG_VERSION" ]; then
    printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
  else
    from_file POSTGRES_PASSWORD ''
    from_file POSTGRES_USER postgres
    from_file POSTGRES_DB "$POSTGRES_USER"
    from_file POSTGRES_INITDB_ARGS ''
    require_a_password
    make_database "$@"
    export PGPASSWORD="${PGPASSWORD-$POSTGRES_PASSWORD}"
    start_temporary_server "$@"
    make_wanted_database
    run_init_files
    stop_temporary_server
    unset PGPASSWORD
    printf '\nPostgreSQL init process complete; ready for start up.\n\n'
  fi
  exec "$@"
}

main "$@"
