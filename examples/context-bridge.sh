#!/bin/sh
# From a webhook to a document that is found: a receiver verifies the webhook and asks for a sync.
#
#   API_BASE     where the service listens, such as http://127.0.0.1:8080; it must be allowed to reach this machine
#   HANDLE       whose documents and webhooks
#   JWT_TOKEN    of somebody with the role OPERATOR: angarium token mint --handle acme --role OPERATOR
#   OWNER_TOKEN  of somebody with the role OWNER
#
# Needs python3. Prints each step with the status that came back, and ends with 1 at the first that is another than
# expected.
set -eu

: "${HANDLE:?}" "${JWT_TOKEN:?}" "${OWNER_TOKEN:?}"
here="$(dirname "$0")"
. "$here/steps.sh"

documents="$(mktemp -d)"
processes=''
ended() {
  for process in $processes; do kill "$process" 2> /dev/null || true; done
  rm -rf "$answer" "$documents"
}
trap ended EXIT
of_handle="/v2/handles/${HANDLE}"

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# listening PORT: waits until somebody answers there.
listening() {
  curl -sS -o /dev/null --retry 50 --retry-delay 0 --retry-connrefused --max-time 20 "http://127.0.0.1:$1/" 2> /dev/null
}

# until_answered PATH TEXT: asks again until the text stands in the answer.
until_answered() {
  tries=0
  until curl -sS -H "authorization: Bearer $JWT_TOKEN" "${API_BASE}$1" > "$answer" && grep -qF -- "$2" "$answer"; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || { echo "$2 was expected in:" && cat "$answer" && echo && exit 1; }
    sleep 0.1
  done
  echo "$1 has $2"
}

# The document, as it was.
echo 'Deliveries are retried.' > "$documents/guide.md"
pages="$(free_port)"
python3 -m http.server --bind 127.0.0.1 --directory "$documents" "$pages" > /dev/null 2>&1 &
processes="$!"
listening "$pages"

step 'token' 201 POST "${of_handle}/tokens" '{"name":"bridge","scopes":["mcp.connect","context_store.manage"]}' "$OWNER_TOKEN"
pat="$(field token)"
step 'source' 201 POST "${of_handle}/context-sources" \
  '{"name":"Guide","kind":"http","url":"http://127.0.0.1:'"$pages"'/guide.md"}' "$JWT_TOKEN"
source="$(field sourceId)"
until_answered "${of_handle}/context-sources/${source}" '"status":"READY"'
step 'search' 200 GET "${of_handle}/context-store/search?q=lighthouse" '' "$JWT_TOKEN"
expect '"items":[]'

bridge="$(free_port)"
step 'webhook' 201 POST "${of_handle}/webhooks" \
  '{"endpointUrl":"http://127.0.0.1:'"$bridge"'/","eventTypes":["guide.changed"]}' "$JWT_TOKEN"
secret="$(field secret)"
WEBHOOK_SECRET="$secret" PAT="$pat" SOURCES="guide.changed=$source" \
  python3 "$here/context-bridge/bridge.py" "$bridge" &
processes="$processes $!"
listening "$bridge"

# Nobody but the service asks for syncs.
forged="$(curl -sS -o /dev/null -w '%{http_code}' -X POST -H 'x-arjun-signature: sha256=00' \
  -d '{"type":"guide.changed"}' "http://127.0.0.1:$bridge/")"
echo "forged POST to the bridge: $forged"
[ "$forged" = 401 ]

# The document changes, whoever changed it says so, and it is found by its new words.
echo 'A lighthouse says where the harbour is.' > "$documents/guide.md"
step 'event' 202 POST "${of_handle}/events" '{"type":"guide.changed","payload":{"page":"guide.md"}}' "$JWT_TOKEN"
until_answered "${of_handle}/context-store/search?q=lighthouse" 'harbour'

# An agent that holds the same token finds it too.
agent="/mcp/${HANDLE}/mcp"
status="$(curl -sS -o "$answer" -w '%{http_code}' -X POST "${API_BASE}${agent}" -H "authorization: Bearer $pat" \
  -H 'content-type: application/json' -H 'accept: application/json, text/event-stream' \
  -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"context_store_search","arguments":{"q":"lighthouse"}}}')"
echo "agent POST ${agent}: $status"
[ "$status" = 200 ]
expect 'harbour'
echo "all as expected"
