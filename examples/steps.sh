# What the scripts here share: a step asks the service and holds its answer against what was expected.
#
#   API_BASE   where the service listens, such as http://127.0.0.1:8080

: "${API_BASE:?}"
answer="$(mktemp)"
trap 'rm -f "$answer"' EXIT

# step NAME EXPECTED METHOD PATH [BODY] [TOKEN]: prints the status, and ends with 1 if it is another than expected.
step() {
  set -- "$1" "$2" "$3" "$4" "${5:-}" "${6:-}"
  status="$(curl -sS -o "$answer" -w '%{http_code}' -X "$3" "${API_BASE}$4" \
    ${5:+-H 'content-type: application/json' -d "$5"} ${6:+-H "authorization: Bearer $6"})"
  echo "$1 $3 $4: $status"
  if [ "$status" != "$2" ]; then
    echo "$2 was expected:" && cat "$answer" && echo
    exit 1
  fi
}

# expect TEXT: it stands in the last answer.
expect() {
  grep -qF -- "$1" "$answer" || { echo "$1 was expected in:" && cat "$answer" && echo && exit 1; }
}

# field NAME: the text of a field of the last answer.
field() {
  sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p' "$answer"
}
