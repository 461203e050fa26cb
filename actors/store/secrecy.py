"""The one way in which a URL is shown, in messages, logs and listings: without what is secret in it.

A URL of a store may carry a password (of its user, or as a parameter), a URL of a gateway a key. Whoever shows one to a person,
puts it into an error or compares two of them takes it from here. Between processes secrets travel by environment or by pipe,
never by arguments, which every user of the machine can read.
"""

from __future__ import annotations

import re

#: After `scheme://user:` everything up to the last "@": a password may hold any character, written as it should be or not.
_PASSWORD = re.compile(r"(?<=://)([^/?#@:\s]*):.*@", re.DOTALL)
#: What only resembles a URL says nothing about where its password begins.
_NO_URL = re.compile(r"^(?!.*://).*@", re.DOTALL)
#: Parameters of libpq, of our gateway and of what else may stand behind a question mark, and all that follows: an unescaped
#: "&" may be the secret's own. To hide too much does no harm.
_PARAMETER = re.compile(
    r"((?:^|[?&;\s])[\w%.-]*(?:pass(?:word|wd|phrase)?|pwd|secret|token|key|code|sig|credentials?)=).*",
    re.IGNORECASE | re.DOTALL,
)


def shown_url(url: str) -> str:
    """A URL without passwords, keys and tokens.

    Example:
        >>> shown_url("postgresql://me:s3cret@db.example/hub?sslmode=require&password=s3cret")
        'postgresql://me:***@db.example/hub?sslmode=require&password=***'
    """
    return _PARAMETER.sub(r"\1***", _NO_URL.sub("***@", _PASSWORD.sub(r"\1:***@", url)))
