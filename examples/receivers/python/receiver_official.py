"""A receiver of webhooks, with the official library of Standard Webhooks.

pip install standardwebhooks
WEBHOOK_SECRET=whsec_… python3 receiver_official.py 9000
"""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

BODY_BYTES_MAX = 1024 * 1024


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    webhook = Webhook(os.environ["WEBHOOK_SECRET"])
    # Delivery is at least once. A real receiver keeps these where a restart does not lose them.
    seen = set()

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        if length > BODY_BYTES_MAX:
            return self.answer(413)
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            event = self.webhook.verify(body, headers)
        # A header that cannot be read is a ValueError of the library's.
        except (WebhookVerificationError, ValueError):
            return self.answer(401)
        if headers["webhook-id"] not in self.seen:
            self.seen.add(headers["webhook-id"])
            print("received", event["type"], headers["webhook-id"], flush=True)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
