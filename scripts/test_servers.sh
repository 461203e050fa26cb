#!/usr/bin/env bash
# Installs what the tests need and pip cannot bring: PostgreSQL's programs, PgBouncer, and Chromium. Installs only what is
# missing, only through apt, only with rights we have without asking. Where that is not enough it says so and
# succeeds: those tests then skip, each with its reason (and fail in CI).
set -euo pipefail

have_postgres() { command -v initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb'; }

missing=()
have_postgres >/dev/null || missing+=(postgresql)
PATH="$PATH:/usr/sbin" command -v pgbouncer >/dev/null || missing+=(pgbouncer)
command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
[ ${#missing[@]} -eq 0 ] && exit 0

say() { echo "test_servers: $*" >&2; }

if [ "$(id -u)" -eq 0 ]; then
    as_root=(env)
elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n env)
else
    as_root=()
fi

if [ ${#as_root[@]} -eq 0 ] || ! command -v apt-get >/dev/null; then
    say "cannot install ${missing[*]} here (no apt, or not root): the tests that need them will skip"
    exit 0
fi

say "installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq || say "apt-get update failed; trying with the lists at hand"
for package in "${missing[@]}"; do
    "${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null ||
        say "installing $package failed: the tests that need it will skip"
done
