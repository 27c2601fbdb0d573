#!/bin/sh
# Notifications and webhooks: the sixteen routes of use case 17, in the order of its list, against a service that runs.
#
#   API_BASE      where it listens, such as http://127.0.0.1:8080
#   HANDLE        whose webhooks, mails, inbox and voice notes
#   JWT_TOKEN     of somebody with the role OPERATOR: angarium token mint --handle acme --role OPERATOR
#   OWNER_TOKEN   of somebody with the role OWNER
#   ENDPOINT_URL  where the webhooks go
#   MAIL_FOLDER   the folder of email.transport = "folder", if mails can be read there: the consent that a mail asks
#                 for is given then, as its reader would; otherwise the test mail is refused for the want of it
#
# The list begins with removals, so what they remove is made first. Prints each step with the status that came back,
# and ends with 1 at the first that is another than expected.
set -eu

: "${HANDLE:?}" "${JWT_TOKEN:?}" "${OWNER_TOKEN:?}"
ENDPOINT_URL="${ENDPOINT_URL:-https://hooks.example.com/test}"
. "$(dirname "$0")/steps.sh"

run="$$-$(date +%s)"
of_handle="/v2/handles/${HANDLE}"
emails="${of_handle}/notifications/email-subscriptions"
webhook='{"endpointUrl":"'"${ENDPOINT_URL}"'","eventTypes":["order.*"]}'

# One second of silence: a head of 44 bytes, and 8,000 samples of two bytes.
recording="$(mktemp)"
trap 'rm -f "$answer" "$recording"' EXIT
{
  printf 'RIFF\244\076\000\000WAVEfmt \020\000\000\000\001\000\001\000'
  printf '\100\037\000\000\200\076\000\000\002\000\020\000data\200\076\000\000'
  head -c 16000 /dev/zero
} > "$recording"
note='{"contentType":"audio/wav","sizeBytes":16044,"fileName":"silence.wav"}'

step 'before' 201 POST "$emails" '{"email":"first-'"$run"'@example.com","eventTypes":["order.*"]}' "$JWT_TOKEN"
first_email="$(field subscriptionId)"
step 'before' 201 POST "${of_handle}/webhooks" "$webhook" "$JWT_TOKEN"
first_webhook="$(field subscriptionId)"
step 'before' 201 POST "${of_handle}/mobile/inbox" '{"type":"order.fulfilled","title":"Your order is on its way"}' "$JWT_TOKEN"
item="$(field itemId)"
step 'before' 201 POST "${of_handle}/mobile/voice-notes" "$note" "$JWT_TOKEN"
first_note="$(field voiceNoteId)"

step ' 1' 204 DELETE "${emails}/${first_email}" '' "$JWT_TOKEN"
step ' 2' 204 DELETE "${of_handle}/webhooks/${first_webhook}" '' "$JWT_TOKEN"
step ' 3' 200 GET "${of_handle}/mobile/inbox" '' "$JWT_TOKEN"
expect "$item"
step ' 4' 200 GET "${of_handle}/mobile/voice-notes/${first_note}" '' "$JWT_TOKEN"
expect '"status":"pending_upload"'
step ' 5' 200 GET "${of_handle}/notification-settings" '' "$JWT_TOKEN"
step ' 6' 200 GET "${of_handle}/notifications" '' "$JWT_TOKEN"
step ' 7' 200 GET "${of_handle}/webhooks" '' "$JWT_TOKEN"
step ' 8' 200 POST "${of_handle}/mobile/inbox/${item}/read" '{}' "$JWT_TOKEN"
expect '"readAt":"'
step ' 9' 201 POST "${of_handle}/mobile/voice-notes" "$note" "$JWT_TOKEN"
note_id="$(field voiceNoteId)"
upload="$(field url)"
case "$upload" in http*) ;; *) upload="${API_BASE}${upload}" ;; esac
curl -sS -f -X PUT -H 'content-type: audio/wav' --data-binary "@$recording" "$upload" > "$answer"
step '10' 200 POST "${of_handle}/mobile/voice-notes/${note_id}/upload-complete" '{}' "$JWT_TOKEN"
step '11' 201 POST "$emails" '{"email":"second-'"$run"'@example.com","eventTypes":["order.*"]}' "$JWT_TOKEN"
expect '"status":"pending_confirmation"'
email="$(field subscriptionId)"
if [ -n "${MAIL_FOLDER:-}" ]; then
  mail=''
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    mail="$(grep -l "second-${run}@example.com" "$MAIL_FOLDER"/*.eml 2> /dev/null || true)"
    [ -n "$mail" ] && break || sleep 1
  done
  # Long lines are folded: a `=` at the end of one says that the next belongs to it.
  link="$(tr -d '\r' < "$mail" | sed ':fold;/=$/{N;s/=\n//;b fold}' \
    | sed -n 's/.*\(\/confirm\/[A-Za-z0-9._~-]*\).*/\1/p' | head -n 1)"
  curl -sS -f -X POST -d 'confirm=yes' "${API_BASE}${link}" > "$answer"
  step '12' 202 POST "${emails}/${email}/test" '{}' "$JWT_TOKEN"
else
  step '12' 409 POST "${emails}/${email}/test" '{}' "$JWT_TOKEN"
  expect '"error":"subscription_not_confirmed"'
fi
step '13' 201 POST "${of_handle}/webhooks" "$webhook" "$JWT_TOKEN"
webhook_id="$(field subscriptionId)"
step '14' 202 POST "${of_handle}/webhooks/${webhook_id}/test" '{}' "$JWT_TOKEN"
expect '"eventId":"evt_'
step '15' 200 PUT "${of_handle}/notification-settings" '{"criticalEventTypes":["payment.*"],"timeZone":"Europe/Lisbon"}' "$OWNER_TOKEN"
step '16' 200 PUT "${of_handle}/notifications/owner-default-email" '{"email":"owner-'"$run"'@example.com"}' "$OWNER_TOKEN"
if [ -n "${MAIL_FOLDER:-}" ]; then
  step 'after' 202 POST "${of_handle}/notifications/owner-default-email/test" '{}' "$OWNER_TOKEN"
fi
echo "all as expected"
