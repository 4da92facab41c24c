"""An S3-compatible server for tests, on a free port of the loopback interface.

It prints its address with a user's key and secret, `http://KEY:SECRET@127.0.0.1:PORT`, and ends
when its standard input does, so that it never outlives whoever started it. There is one bucket,
`bitcraps`, that the user may do everything with, and one, `forbidden`, that it may not touch.
"""

import json
import logging
import os
import sys

# The users are made first, by so many requests that need no credentials.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "5"

import boto3
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
host, port = server.get_host_and_port()
address = f"http://{host}:{port}"


def client(service):
    return boto3.client(
        service,
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="set-up",
        aws_secret_access_key="set-up",
    )


s3, iam = client("s3"), client("iam")
for bucket in ("bitcraps", "forbidden"):
    s3.create_bucket(Bucket=bucket)
iam.create_user(UserName="backup")
everything = {
    "Effect": "Allow",
    "Action": "s3:*",
    "Resource": ["arn:aws:s3:::bitcraps", "arn:aws:s3:::bitcraps/*"],
}
iam.put_user_policy(
    UserName="backup",
    PolicyName="backups",
    PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [everything]}),
)
key = iam.create_access_key(UserName="backup")["AccessKey"]
print(f"http://{key['AccessKeyId']}:{key['SecretAccessKey']}@{host}:{port}", flush=True)
sys.stdin.read()
server.stop()
