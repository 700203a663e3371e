"""What a service that keeps its keys through castellan does: Nova, Cinder, Glance and others."""
import datetime
import os
import sys

from castellan import key_manager
from castellan.common import exception
from castellan.common.credentials import keystone_password
from castellan.common.objects import opaque_data, passphrase, private_key, public_key, symmetric_key, x_509
from castellan.key_manager.barbican_key_manager import BarbicanKeyManager
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from oslo_config import cfg

conf = cfg.ConfigOpts()
conf([])
manager = key_manager.API(conf)
assert isinstance(manager, BarbicanKeyManager), manager
conf.set_override("auth_endpoint", os.environ["OS_AUTH_URL"], group="barbican")
conf.set_override("barbican_region_name", os.environ["OS_REGION_NAME"], group="barbican")
# In a project of its own: its lists end after ten.
context = keystone_password.KeystonePassword(
    auth_url=os.environ["OS_AUTH_URL"],
    username="carla",
    password="carla-password",
    project_name="castellan",
    user_domain_name=os.environ["OS_USER_DOMAIN_NAME"],
    project_domain_name=os.environ["OS_PROJECT_DOMAIN_NAME"],
)


def gone(uuid):
    for call in (manager.get, manager.delete):
        try:
            call(context, uuid)
        except exception.ManagedObjectNotFoundError:
            continue
        raise AssertionError("%s is still there" % uuid)


def objects():
    """One of every kind that castellan knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "castellan.test")])
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2040, 1, 1)).sign(key, hashes.SHA256()))
    yield symmetric_key.SymmetricKey("AES", 256, os.urandom(32), name="castellan")
    yield passphrase.Passphrase("späte Grüße", name="castellan")
    yield opaque_data.OpaqueData(b"\x00\x01\xff", name="castellan")
    yield public_key.PublicKey("EC", 256, public, name="castellan")
    yield private_key.PrivateKey("EC", 256, private, name="castellan")
    yield x_509.X509(certificate.public_bytes(serialization.Encoding.DER), name="castellan")


if sys.argv[1] == "store":
    for stored in objects():
        uuid = manager.store(context, stored)
        read = manager.get(context, uuid)
        assert type(read) is type(stored), (read, stored)
        assert read.get_encoded() == stored.get_encoded(), type(stored)
        assert (read.name, read.id) == ("castellan", uuid), (read.name, read.id)
        assert manager.get(context, uuid, metadata_only=True).is_metadata_only()
        assert uuid in [o.id for o in manager.list(context, object_type=type(stored), metadata_only=True)]
        manager.delete(context, uuid)
        gone(uuid)
else:
    uuid = manager.create_key(context, "AES", 256, name="castellan")
    key = manager.get(context, uuid)
    assert isinstance(key, symmetric_key.SymmetricKey), key
    assert (key.algorithm, key.bit_length, len(key.get_encoded())) == ("AES", 256, 32)
    assert key.get_encoded() != manager.get(context, manager.create_key(context, "AES", 256)).get_encoded()
    manager.delete(context, uuid)
    gone(uuid)

    private, public = manager.create_key_pair(context, "RSA", 2048, name="castellan")
    halves = manager.get(context, private), manager.get(context, public)
    loaded = serialization.load_der_private_key(halves[0].get_encoded(), password=None)
    assert loaded.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo) == halves[1].get_encoded()

print("journey done")
