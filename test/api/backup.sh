#!/bin/bash
# A backup of a running server, and what becomes of it: whole, in another directory, in place of a damaged one.
. "$(dirname "$0")/../lib.sh"
start_server '--controllers=-*' --scheduler=off

for i in 1 2 3 4 5 6 7 8; do k create configmap "kept-$i" --from-literal=a="$i" >/dev/null; done
k create secret generic secret --from-literal=password=much >/dev/null
k delete configmap kept-8 >/dev/null
raw /livez >/dev/null
backup=$TEST_DIR/backup.db
backup_to() { "$HANOK" backup "$1" --kubeconfig "$KUBECONFIG_FILE"; }

# Writers go on while it is made.
writer() { for i in $(seq 1 200); do k create configmap "during-$i" >/dev/null 2>&1 || return; done; }
writer &
writer_pid=$!
check_output "a backup of a running server" ': [0-9]+ objects at revision [0-9]+, [0-9]+ bytes' backup_to "$backup"
kill $writer_pid
wait $writer_pid 2>/dev/null
check_output "for its owner only" '^600$' stat -c %a "$backup"
check_refused "which never overwrites another" 'is there already' backup_to "$backup"
check_output "and needs a right" 'User \\"nobody\\" cannot get path \\"/hanok/backup\\".*"code":403' raw /hanok/backup -H 'Impersonate-User: nobody'
check "nothing is left beside the store" test ! -e "$SERVER_DIR/hanok.db.backup"
k create configmap later >/dev/null
newest() { raw '/api/v1/configmaps?limit=1' | python3 -c 'import json, sys; print(json.load(sys.stdin)["metadata"]["resourceVersion"])'; }
seen=$(newest)
uid=$(k_field configmap/kept-1 .metadata.uid)

restore() { "$HANOK" restore "$@"; }
check_refused "a running server's store is not replaced" 'in use by another hanok server' restore "$backup" --data "$SERVER_DIR" --replace
stop_server
check_refused "nor one that is there, unasked" 'there is a store already.*--replace' restore "$backup" --data "$SERVER_DIR"

# A damaged store is refused by name, with what to do.
cp "$SERVER_DIR/hanok.db" "$TEST_DIR/whole.db"
size=$(stat -c %s "$SERVER_DIR/hanok.db")
dd if=/dev/urandom of="$SERVER_DIR/hanok.db" bs=512 seek=$((size / 1024)) count=16 conv=notrunc status=none
serve_damaged() { timeout 60 "$HANOK" server --data "$SERVER_DIR" --listen "127.0.0.1:$SERVER_PORT"; }
check_refused "a damaged store" "$SERVER_DIR/hanok.db' is damaged.*hanok restore" serve_damaged
check_output "is moved aside" "objects; revisions go on from" restore "$backup" --data "$SERVER_DIR" --replace
check "not thrown away" compgen -G "$SERVER_DIR/hanok.db.2*"
start_server '--controllers=-*' --scheduler=off
check_output "what was there is there" '^7 1$' echo "$(k get configmaps -o name | grep -c kept-)" "$(k get secrets -o name | grep -c secret/secret)"
check_output "as itself" "^$uid\$" k_field configmap/kept-1 .metadata.uid
check "what came after the backup is not" test -z "$(k get configmap later -o name 2>/dev/null)"
after=$(newest)
check "revisions go on above all that were seen ($seen, $after)" test "$after" -gt $((seen + 900000000))
check_output "who watched before is told to list again" '"reason":"Expired"' raw "/api/v1/configmaps?watch=true&timeoutSeconds=1&resourceVersion=$seen"
check "and it takes writes" k create configmap fresh

# Each takes the store's size of the disk until it was read: one at a time.
head -c 900000 /dev/zero | tr '\0' x >"$TEST_DIR/large"
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do k create configmap "large-$i" --from-file="$TEST_DIR/large" >/dev/null; done
raw /hanok/backup --limit-rate 50K --max-time 300 -o "$TEST_DIR/slow.db" 2>/dev/null &
slow=$!
eventually 20 test -s "$TEST_DIR/slow.db"
check_output "a second one is refused while one is read" 'another backup is being made.*"code":429' raw /hanok/backup
pkill -P $slow -x curl
wait $slow
check "and made when that one has gone" eventually 20 backup_to "$TEST_DIR/second.db"
stop_server

# Elsewhere.
check_output "a backup makes a new store" 'objects; revisions go on' restore "$backup" --data "$TEST_DIR/elsewhere"
mkdir "$TEST_DIR/leftover" && echo old >"$TEST_DIR/leftover/hanok.db-wal"
check_refused "a log that was left over would be played back" '--replace moves it aside' restore "$backup" --data "$TEST_DIR/leftover"
goes_on() { restore "$backup" --data "$TEST_DIR/leftover" --replace | sed -n 's/.*go on from //p'; }
first=$(goes_on)
check "it is moved aside" bash -c "ls $TEST_DIR/leftover/hanok.db.*-wal && ! ls $TEST_DIR/leftover/hanok.db-wal"
sleep 1.1 # files that are moved aside are named by the second
echo damaged >"$TEST_DIR/leftover/hanok.db"
check "a second restore over a damaged store goes on further" test "$(goes_on)" -gt "$first"
check_refused "no backup of ours" 'is no sound backup' restore "$KUBECONFIG_FILE" --data "$TEST_DIR/none"
head -c 20000 "$backup" >"$TEST_DIR/short.db"
check_refused "half of one" 'is no sound backup' restore "$TEST_DIR/short.db" --data "$TEST_DIR/none"
check "leaves no store behind" test ! -e "$TEST_DIR/none/hanok.db"
SERVER_DIR=$TEST_DIR/elsewhere
rm -f "$TEST_DIR"/client.crt
start_server '--controllers=-*' --scheduler=off
check_output "which has the objects" '^configmap/kept-7$' k get configmap kept-7 -o name
finish
