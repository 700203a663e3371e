"""What users of python-barbicanclient do to share a secret or a container, and to keep it to themselves.

usage: barbicanclient_acls.py secret|container
"""
import sys

from journey import barbican, password, refused, user_id

bobs = password("bob", "bob-password", "beta")
bob, bob_id = barbican(bobs), user_id(bobs)
alice = barbican(password("alice", "alice-password", "alpha"))
olga = barbican(password("olga", "olga-password", "alpha"))  # may only look


def share(kind, ref, read):
    """The same for secrets and containers: read gets it as somebody."""
    acl = alice.acls.get(ref)
    assert acl.read.project_access is True and not acl.read.users, (kind, acl.read)
    refused(403, read, bob)

    # Another project's user, by id.
    acl = alice.acls.create(entity_ref=ref, users=[bob_id])
    assert acl.submit() == ref + "/acl"
    read(bob)
    read(olga)
    stored = alice.acls.get(ref)
    assert stored.read.users == [bob_id] and stored.read.project_access is True, stored.read.users

    # Private: the project's observer no longer, the listed user still.
    stored.read.project_access = False
    stored.submit()
    refused(403, read, olga)
    read(bob)
    read(alice)

    # Nobody is listed, then nothing is said.
    stored.read.users = []
    stored.submit()
    refused(403, read, bob)
    alice.acls.get(ref).remove()
    again = alice.acls.get(ref)
    assert again.read.project_access is True and not again.read.users, again.read
    read(olga)

    # Who may not read it may not share it.
    refused(403, bob.acls.create(entity_ref=ref, users=[bob_id]).submit)
    refused(403, olga.acls.create(entity_ref=ref, users=[bob_id]).submit)


if sys.argv[1] == "secret":
    secret_ref = alice.secrets.create(name="shared", payload="between us").store()

    def read_secret(who):
        assert who.secrets.get(secret_ref).payload == "between us"

    share("secret", secret_ref, read_secret)
else:
    container_ref = alice.containers.create(name="shared").store()

    def read_container(who):
        assert who.containers.get(container_ref).name == "shared"

    share("container", container_ref, read_container)

print("journey done")
