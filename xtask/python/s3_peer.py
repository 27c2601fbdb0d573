"""An S3-compatible store as others built it: moto's server; and signatures as botocore makes them.

Prints one line of JSON about itself, and then answers every line of JSON that it reads: the names of all
objects, or whether an address was signed for a request with these headers. Ends with its input.
"""

import json
import sys
from urllib.parse import parse_qsl, urlsplit

import boto3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"
BUCKET = "voice-notes"
KEY_ID, SECRET = "AKIDOFTHEPEER", "a secret of the peer"


def main() -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    secrets = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET}
    s3 = boto3.client("s3", region_name=REGION, endpoint_url=endpoint, **secrets)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    say({"endpoint": endpoint, "region": REGION, "bucket": BUCKET, "accessKeyId": KEY_ID, "secretAccessKey": SECRET})
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["ask"] == "objects":
            listed = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
            say([found["Key"] for found in listed])
        else:
            say(is_signed(asked["method"], asked["url"], asked["headers"]))
    server.stop()


def is_signed(method: str, url: str, headers: dict) -> bool:
    """Makes the signature again from the same request, and compares."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    signature = query.pop("X-Amz-Signature")
    signed = query["X-Amz-SignedHeaders"].split(";")
    if set(signed) - {"host"} != set(headers):
        return False
    auth = S3SigV4QueryAuth(Credentials(KEY_ID, SECRET), "s3", REGION, expires=int(query["X-Amz-Expires"]))
    request = AWSRequest(method=method, url=url.split("?")[0], headers={**headers, "host": parts.netloc}, params=query)
    request.context["timestamp"] = query["X-Amz-Date"]
    canonical = "\n".join([
        method,
        parts.path,
        auth.canonical_query_string(request),
        auth.canonical_headers(auth.headers_to_sign(request)) + "\n",
        ";".join(signed),
        "UNSIGNED-PAYLOAD",
    ])
    return auth.signature(auth.string_to_sign(request, canonical), request) == signature


def say(value) -> None:
    print(json.dumps(value), flush=True)


main()
