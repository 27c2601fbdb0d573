"""Amazon SES as others built it: moto's server, which verifies signatures by botocore.

Prints one line of JSON about itself, and then, for every line that it reads, the mails that it took.
Ends with its input.
"""

import email
import email.policy
import json
import os
import sys

# Requests before this many actions are not asked who they are: those that set the world up.
SETUP_ACTIONS = 4
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = str(SETUP_ACTIONS)

import boto3  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402
from moto.ses.models import ses_backends  # noqa: E402

REGION = "eu-west-1"
ACCOUNT = "123456789012"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "ses:*", "Resource": "*"}],
}


def main() -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    keys = setup(endpoint, sys.argv[1])
    say({"endpoint": endpoint, "region": REGION, **keys})
    for _ in sys.stdin:
        say([shown(sent) for sent in ses_backends[ACCOUNT][REGION].sent_messages])
    server.stop()


def setup(endpoint: str, sender: str) -> dict:
    def client(name: str):
        secrets = {"aws_access_key_id": "setup", "aws_secret_access_key": "setup"}
        return boto3.client(name, region_name=REGION, endpoint_url=endpoint, **secrets)

    iam = client("iam")
    iam.create_user(UserName="mailer")
    iam.put_user_policy(UserName="mailer", PolicyName="mails", PolicyDocument=json.dumps(POLICY))
    key = iam.create_access_key(UserName="mailer")["AccessKey"]
    client("sesv2").create_email_identity(EmailIdentity=sender)
    return {"accessKeyId": key["AccessKeyId"], "secretAccessKey": key["SecretAccessKey"]}


def shown(sent) -> dict:
    mail = email.message_from_string(sent.raw_data, policy=email.policy.default)
    return {
        "id": sent.id,
        "to": sent.destinations,
        "subject": mail["Subject"],
        "unsubscribe": mail["List-Unsubscribe"],
        "text": mail.get_body(("plain",)).get_content(),
    }


def say(value) -> None:
    print(json.dumps(value), flush=True)


main()
