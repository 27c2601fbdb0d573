#!/bin/sh
# The playbook of lifecycle messaging, LM-01 to LM-06, against a service that runs.
#
#   API_BASE       where it listens, such as http://127.0.0.1:8080
#   HANDLE         whose chain and webhooks
#   JWT_TOKEN      of somebody with the role OPERATOR: angarium token mint --handle acme --role OPERATOR
#   CREATOR_TOKEN  of somebody with the role CREATOR alone
#   SESSION_ID     which session; a new one if it is not set
#   ENDPOINT_URL   where the webhook goes
#
# Prints each step with the status that came back, and ends with 1 at the first that is another than expected.
set -eu

: "${HANDLE:?}" "${JWT_TOKEN:?}" "${CREATOR_TOKEN:?}"
SESSION_ID="${SESSION_ID:-sess-$$-$(date +%s)}"
ENDPOINT_URL="${ENDPOINT_URL:-https://hooks.example.com/test}"
. "$(dirname "$0")/steps.sh"

# A rule, so that there is something to decide. A handle is there once it has anything to its name.
step 'rules' 200 PUT "/v2/handles/${HANDLE}/chain/rules" '{"rules":[{"ruleId":"ten-percent","trigger":"checkout",
  "when":{"all":[{"signalKey":"view"}]},"decision":{"offer":"ten-percent"}}]}' "$JWT_TOKEN"

step 'LM-01' 202 POST /v2/public/chain/signals \
  '{"handle":"'"${HANDLE}"'","sessionId":"'"${SESSION_ID}"'","signals":[{"type":"view"}]}'
expect '"accepted":1'

step 'LM-02' 200 POST /v2/public/chain/resolve \
  '{"handle":"'"${HANDLE}"'","sessionId":"'"${SESSION_ID}"'","trigger":"checkout"}'
expect '"decision":{"offer":"ten-percent"}'

step 'LM-03' 200 POST /v2/public/chain/prefetch \
  '{"handle":"'"${HANDLE}"'","sessionId":"'"${SESSION_ID}"'","triggers":["checkout","exit"]}'
expect '"trigger":"exit","decision":null'

webhook='{"endpointUrl":"'"${ENDPOINT_URL}"'","eventTypes":["link.clicked"]}'
step 'LM-04' 403 POST "/v2/handles/${HANDLE}/webhooks" "$webhook" "$CREATOR_TOKEN"
expect '"error":"insufficient_role"'

step 'LM-05' 201 POST "/v2/handles/${HANDLE}/webhooks" "$webhook" "$JWT_TOKEN"
SUBSCRIPTION_ID="$(field subscriptionId)"

step 'LM-06' 202 POST "/v2/handles/${HANDLE}/webhooks/${SUBSCRIPTION_ID}/test" '{}' "$JWT_TOKEN"
expect '"deliveryId":"dlv_'
expect '"eventId":"evt_'
echo "all as expected"
