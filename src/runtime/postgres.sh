#!/bin/bash
# postgres.sh BIN FOLDER PORT [-c NAME=VALUE]...   A throw-away PostgreSQL on 127.0.0.1:PORT, with its data in FOLDER/data.
# FOLDER has `password`, that of the superuser postgres, and in `files` what goes into the data folder before the start.
# Answers `ready` when it serves. Ends the server and removes FOLDER at the end of stdin, which also comes when the parent
# was killed.
set -euo pipefail
BIN=$1 FOLDER=$2 PORT=$3 DATA=$2/data
shift 3
SERVER=''

finish() {
  set +e
  # Immediate: nothing of the data will be read again. Its processes and its shared memory go with it.
  if [ -n "$SERVER" ]; then
    kill -QUIT "$SERVER"
    wait "$SERVER"
  fi
  cd /
  rm -rf "$FOLDER"
}
fail() {
  echo "$1"
  tail -n 15 "$FOLDER/log"
  exit 1
}
trap finish EXIT
trap 'exit 1' HUP INT TERM
exec 2>"$FOLDER/log"

# Each connection pays for the iterations of its password.
"$BIN/initdb" --pgdata="$DATA" --username=postgres --pwfile="$FOLDER/password" --auth=scram-sha-256 \
  --encoding=UTF8 --locale=C --no-sync --no-instructions --set=scram_iterations=1 >/dev/null || fail 'initdb failed'
cp -Rp "$FOLDER/files/." "$DATA" || fail "the files could not be copied"
"$BIN/postgres" -D "$DATA" -p "$PORT" -c listen_addresses=127.0.0.1 -c unix_socket_directories= "$@" \
  </dev/null >>"$FOLDER/log" 2>&1 &
SERVER=$!
until grep -qs '^ready' "$DATA/postmaster.pid"; do
  kill -0 $SERVER || fail 'postgres ended'
  sleep 0.02
done
echo ready
while read -r _; do :; done
