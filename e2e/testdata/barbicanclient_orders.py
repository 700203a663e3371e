"""What a service that uses python-barbicanclient does with orders."""
import time

from cryptography.hazmat.primitives import serialization

from journey import barbican, refused

barbican = barbican()


def done(ref):
    """The order, once it has ended."""
    for _ in range(100):
        order = barbican.orders.get(ref)
        if order.status != "PENDING":
            return order
        time.sleep(0.1)
    raise AssertionError("the order is still pending")


# A key of the token's own randomness.
ref = barbican.orders.create_key(
    name="ordered", algorithm="aes", bit_length=256, mode="cbc",
    payload_content_type="application/octet-stream", expiration="2040-01-01T00:00:00").submit()
order = done(ref)
assert order.status == "ACTIVE", (order.status, order.error_status_code, order.error_reason)
assert order.order_ref == ref, order.order_ref
assert (order.name, order.algorithm, order.bit_length, order.mode) == ("ordered", "aes", 256, "cbc")
key = barbican.secrets.get(order.secret_ref)
assert (key.name, key.secret_type, key.algorithm, key.bit_length) == ("ordered", "symmetric", "aes", 256)
assert key.expiration.year == 2040, key.expiration
assert len(key.payload) == 32, len(key.payload)
assert len(set(key.payload)) > 8, "hardly random"

# A pair: a container of two secrets that belong together.
order = done(barbican.orders.create_asymmetric(
    name="pair", algorithm="rsa", bit_length=2048, payload_content_type="application/octet-stream").submit())
assert order.status == "ACTIVE", (order.status, order.error_status_code, order.error_reason)
pair = barbican.containers.get(order.container_ref)
assert type(pair).__name__ == "RSAContainer" and pair.name == "pair", (pair, pair.name)
private = serialization.load_pem_private_key(pair.private_key.payload, password=None)
public = serialization.load_pem_public_key(pair.public_key.payload)
assert private.key_size == 2048
assert private.public_key().public_numbers() == public.public_numbers(), "two halves of different pairs"
assert (pair.private_key.secret_type, pair.public_key.secret_type) == ("private", "public")

# With a passphrase, as this client spells it, the private key is encrypted.
order = done(barbican.orders.create_asymmetric(
    name="locked", algorithm="rsa", bit_length=2048, pass_phrase="sesame",
    payload_content_type="application/octet-stream").submit())
locked = barbican.containers.get(order.container_ref)
assert locked.private_key_passphrase.payload == b"sesame", "passphrase"
serialization.load_pem_private_key(locked.private_key.payload, password=b"sesame")
try:
    serialization.load_pem_private_key(locked.private_key.payload, password=None)
except TypeError:
    pass
else:
    raise AssertionError("the private key opens without its passphrase")

# What nobody can make is an error of the order, not of the request.
order = done(barbican.orders.create_key(name="odd", algorithm="rot13", bit_length=256).submit())
assert (order.status, order.error_status_code) == ("ERROR", "400"), (order.status, order.error_status_code)
assert order.error_reason and not order.secret_ref, order.error_reason
refused(400, barbican.orders.create_key(name="none", algorithm="aes", bit_length=7).submit)

# Lists page and count; an order goes without what it made.
assert barbican.orders.total() >= 4, barbican.orders.total()
listed = barbican.orders.list(limit=100)
assert ref in [o.order_ref for o in listed]
assert len(barbican.orders.list(limit=2)) == 2
barbican.orders.delete(ref)
refused(404, lambda: barbican.orders.get(ref))
assert len(barbican.secrets.get(key.secret_ref).payload) == 32

print("journey done")
