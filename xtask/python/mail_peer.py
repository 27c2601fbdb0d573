"""A mail server as others built it: aiosmtpd, and the mails as Python's own library reads them.

Takes a port, and listens there. Prints one line of JSON for every mail that it takes, for every recipient
that it refuses, and for every order that it has carried out. Orders are lines of JSON on its input:
"down", "up", or {"refuse": prefix of addresses, "reply": what they are answered}. Ends with its input.
"""

import email
import email.policy
import json
import sys
import threading

from aiosmtpd.controller import Controller

HOST = "127.0.0.1"


class Post:
    """What is done with mails."""

    def __init__(self) -> None:
        self.refused = {}

    async def handle_RCPT(self, server, session, envelope, address, options):
        for prefix, reply in self.refused.items():
            if address.startswith(prefix):
                say({"refused": address})
                return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        for recipient in envelope.rcpt_tos:
            say({"mail": shown(recipient, mail)})
        return "250 taken"


def shown(recipient: str, mail) -> dict:
    return {
        "to": recipient,
        "subject": mail["Subject"],
        "messageId": mail["Message-ID"],
        "unsubscribe": mail["List-Unsubscribe"],
        "unsubscribePost": mail["List-Unsubscribe-Post"],
        "text": mail.get_body(("plain",)).get_content(),
    }


SAYING = threading.Lock()


def say(value) -> None:
    with SAYING:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()


def main() -> None:
    post, port = Post(), int(sys.argv[1])
    server = Controller(post, hostname=HOST, port=port)
    server.start()
    say({"done": 0})
    for number, line in enumerate(sys.stdin, start=1):
        order = json.loads(line)
        if order == "down":
            server.stop()
        elif order == "up":
            server = Controller(post, hostname=HOST, port=port)
            server.start()
        else:
            post.refused[order["refuse"]] = order["reply"]
        say({"done": number})


main()
