"""What a service that uses python-barbicanclient does with containers and their consumers."""
from journey import barbican, refused

barbican = barbican()


def secret(name, payload):
    made = barbican.secrets.create(name=name, payload=payload)
    made.store()
    return made


# Generic: any names, stored together with secrets that are not stored yet.
container = barbican.containers.create(name="bundle", secrets={
    "zeta": barbican.secrets.create(name="z", payload="last letter"), "alpha": secret("a", "first letter")})
ref = container.store()
read = barbican.containers.get(ref)
assert (read.name, read.status, read.container_ref) == ("bundle", "ACTIVE", ref)
assert sorted(read.secret_refs) == ["alpha", "zeta"], read.secret_refs
assert read.secrets["zeta"].payload == "last letter"
assert read.consumers == [], read.consumers

# A user of it signs in and out. Twice is once.
for _ in range(2):
    read = barbican.containers.register_consumer(ref, name="balancer", url="https://lb.test/1")
    assert read.consumers == [{"name": "balancer", "URL": "https://lb.test/1"}], read.consumers
read = barbican.containers.register_consumer(ref, name="another", url="https://lb.test/2")
assert len(read.consumers) == 2, read.consumers
barbican.containers.remove_consumer(ref, name="balancer", url="https://lb.test/1")
assert [c["name"] for c in barbican.containers.get(ref).consumers] == ["another"]
refused(404, barbican.containers.remove_consumer, ref, name="balancer", url="https://lb.test/1")

# RSA: the three parts by their names.
rsa = barbican.containers.create_rsa(
    name="pair", private_key=secret("priv", "private"), public_key=secret("pub", "public"),
    private_key_passphrase=secret("pass", "sesame"))
read = barbican.containers.get(rsa.store())
assert type(read).__name__ == "RSAContainer", read
assert (read.private_key.payload, read.public_key.payload, read.private_key_passphrase.payload) == (
    "private", "public", "sesame")

# Certificate: what a load balancer asks for.
certificate = barbican.containers.create_certificate(
    name="site", certificate=secret("crt", "CERT"), private_key=secret("key", "KEY"),
    intermediates=secret("ca", "CHAIN"), private_key_passphrase=secret("pass", "sesame"))
read = barbican.containers.get(certificate.store())
assert type(read).__name__ == "CertificateContainer", read
assert (read.certificate.payload, read.private_key.payload, read.intermediates.payload) == ("CERT", "KEY", "CHAIN")

# Lists filter, page and count.
assert [c.container_ref for c in barbican.containers.list(name="bundle")] == [ref]
assert [c.name for c in barbican.containers.list(type="certificate", name="site")] == ["site"]
assert len(barbican.containers.list(limit=2)) == 2
assert barbican.containers.total() >= 3

# What is in it stays; a secret that goes leaves it.
kept = barbican.containers.get(ref).secret_refs["alpha"]
barbican.secrets.delete(barbican.containers.get(ref).secret_refs["zeta"])
assert list(barbican.containers.get(ref).secret_refs) == ["alpha"]
barbican.containers.delete(ref)
refused(404, barbican.containers.get, ref)
assert barbican.secrets.get(kept).payload == "first letter"

print("journey done")
