"""What a service that uses python-barbicanclient does with secrets."""
import os

from barbicanclient import client, exceptions
from keystoneauth1 import identity, session

auth = identity.V3Password(
    auth_url=os.environ["OS_AUTH_URL"],
    username=os.environ["OS_USERNAME"],
    password=os.environ["OS_PASSWORD"],
    project_name=os.environ["OS_PROJECT_NAME"],
    user_domain_name=os.environ["OS_USER_DOMAIN_NAME"],
    project_domain_name=os.environ["OS_PROJECT_DOMAIN_NAME"],
)
barbican = client.Client(session=session.Session(auth=auth), region_name=os.environ["OS_REGION_NAME"])

# Text and bytes go in and come back as what they were.
for payload in ("the magic words", "späte Grüße", b"\x00\x01binary\xff"):
    secret = barbican.secrets.create(name="journey", payload=payload)
    ref = secret.store()
    read = barbican.secrets.get(ref)
    assert read.payload == payload, read.payload
    assert read.name == "journey" and read.status == "ACTIVE", (read.name, read.status)
    read.delete()
    try:
        barbican.secrets.get(ref).name
        raise AssertionError("a deleted secret was found")
    except exceptions.HTTPClientError as e:
        assert e.status_code == 404, e

# Attributes travel.
secret = barbican.secrets.create(
    name="key", algorithm="aes", bit_length=256, mode="cbc",
    secret_type="symmetric", payload=bytes(range(32)), expiration="2040-01-01T00:00:00")
ref = secret.store()
read = barbican.secrets.get(ref)
assert (read.algorithm, read.bit_length, read.mode, read.secret_type) == ("aes", 256, "cbc", "symmetric")
assert read.expiration.isoformat() == "2040-01-01T00:00:00+00:00", read.expiration
assert read.content_types == {"default": "application/octet-stream"}, read.content_types

# The second step by itself.
empty = barbican.secrets.create(name="later")
ref = empty.store()
barbican.secrets.update(ref, payload="now")
assert barbican.secrets.get(ref).payload == "now"
try:
    barbican.secrets.update(ref, payload="again")
    raise AssertionError("a payload was replaced")
except exceptions.HTTPClientError as e:
    assert e.status_code == 409, e

# Lists filter, page and count.
for i in range(3):
    barbican.secrets.create(name="listed", payload=str(i)).store()
assert len(barbican.secrets.list(name="listed")) == 3
assert len(barbican.secrets.list(name="listed", limit=2)) == 2
assert barbican.secrets.total() >= 3
for s in barbican.secrets.list(name="listed"):
    s.delete()
assert barbican.secrets.list(name="listed") == []

# A client's mistake is a client error with the server's words.
try:
    barbican.secrets.create(name="x" * 300, payload="p").store()
    raise AssertionError("a name of 300 characters was stored")
except exceptions.HTTPClientError as e:
    assert e.status_code == 400, e

print("journey done")
