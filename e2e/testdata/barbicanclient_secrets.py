"""What a service that uses python-barbicanclient does with secrets."""
from journey import barbican, refused

barbican = barbican()

# Text and bytes go in and come back as what they were.
for payload in ("the magic words", "späte Grüße", b"\x00\x01binary\xff"):
    secret = barbican.secrets.create(name="journey", payload=payload)
    ref = secret.store()
    read = barbican.secrets.get(ref)
    assert read.payload == payload, read.payload
    assert read.name == "journey" and read.status == "ACTIVE", (read.name, read.status)
    read.delete()
    refused(404, lambda: barbican.secrets.get(ref).name)

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
refused(409, barbican.secrets.update, ref, payload="again")

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
refused(400, barbican.secrets.create(name="x" * 300, payload="p").store)

print("journey done")
