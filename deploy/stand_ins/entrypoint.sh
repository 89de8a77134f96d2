#!/bin/sh
# Takes the commands and variables that docker-compose.yml gives the images that this one stands in for.
set -eu

data=/var/lib/postgresql/data

as_postgres() {
  setpriv --reuid=postgres --regid=postgres --init-groups "$@"
}

case "$1" in
  postgres)
    install -d -o postgres -g postgres -m 0700 "$data" /var/run/postgresql
    if [ ! -s "$data/PG_VERSION" ]; then
      printf %s "$POSTGRES_PASSWORD" | install -o postgres -m 0400 /dev/stdin /tmp/password
      as_postgres initdb --pgdata="$data" --username="$POSTGRES_USER" --pwfile=/tmp/password \
        --auth-local=trust --auth-host=scram-sha-256
      rm /tmp/password
      echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
      echo "CREATE DATABASE \"$POSTGRES_DB\"" | as_postgres postgres --single -D "$data" postgres
    fi
    exec setpriv --reuid=postgres --regid=postgres --init-groups postgres -D "$data" -c "listen_addresses=*"
    ;;
  posix) exec python3 /stand-ins/s3.py "$2" ;;
  *) exec "$@" ;;
esac
