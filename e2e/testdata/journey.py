"""What the journeys share: a client of the server that env.sh names, and refusals."""
import os

from barbicanclient import client, exceptions
from keystoneauth1 import identity, session


def password(username=None, secret=None, project=None):
    """Credentials of one user; the one of env.sh unless said otherwise."""
    return identity.V3Password(
        auth_url=os.environ["OS_AUTH_URL"],
        username=username or os.environ["OS_USERNAME"],
        password=secret or os.environ["OS_PASSWORD"],
        project_name=project or os.environ["OS_PROJECT_NAME"],
        user_domain_name=os.environ["OS_USER_DOMAIN_NAME"],
        project_domain_name=os.environ["OS_PROJECT_DOMAIN_NAME"],
    )


def barbican(auth=None):
    return client.Client(
        session=session.Session(auth=auth or password()), region_name=os.environ["OS_REGION_NAME"])


def user_id(auth):
    return auth.get_user_id(session.Session(auth=auth))


def refused(status, call, *args, **kwargs):
    """The call has to be answered with this status."""
    try:
        call(*args, **kwargs)
    except exceptions.HTTPClientError as e:
        assert e.status_code == status, "%s, want %s" % (e, status)
    else:
        raise AssertionError("%s was allowed, want %s" % (call, status))
