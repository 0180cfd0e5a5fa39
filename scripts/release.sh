#!/bin/sh
# `make release`: wheel and sdist, a bill of materials of the serving install (CycloneDX), and a look for known vulnerabilities in it.
# Its tools live in an environment of their own, made for this call and removed after it.
#
#   scripts/release.sh PYTHON [OUT]
set -eu
python=${1:?a Python 3.11 or newer}
out=${2:-dist}
aside=$(mktemp -d)
trap 'rm -rf "$aside"' EXIT
rm -rf "$out"
mkdir -p "$out"
"$python" -m venv "$aside/tools"
"$aside/tools/bin/python" -m pip install --quiet --disable-pip-version-check 'build>=1.3' 'cyclonedx-bom>=7,<8' 'pip-audit>=2.9,<3'
"$aside/tools/bin/python" -m build --outdir "$out" .
# What people get: the wheel in an environment without anything else.
"$python" -m venv "$aside/serving"
for wheel in "$out"/*.whl; do
    "$aside/serving/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt "$wheel[mcp]"
done
"$aside/tools/bin/cyclonedx-py" environment "$aside/serving/bin/python" --output-reproducible --output-file "$out/score-rag.cdx.json"
ignored=$(sed -n 's/^\([A-Z][A-Za-z0-9-]*\) .*/--ignore-vuln \1/p' scripts/audit-ignores.txt)
site=$("$aside/serving/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# shellcheck disable=SC2086  # one word an ignored vulnerability
if ! "$aside/tools/bin/pip-audit" --path "$site" --progress-spinner off $ignored >"$aside/audit.txt" 2>&1; then
    cat "$aside/audit.txt" >&2
    if grep -qiE 'connection|resolve|timed? ?out|max retries|HTTPError|ServiceError|503|404' "$aside/audit.txt"; then
        echo "the audit could not ask its database: wheel, sdist and bill of materials are in $out, but they are not audited;" \
            "run make release where there is a network" >&2
        exit 3
    fi
    echo "known vulnerabilities: raise the versions in constraints.txt, or write down in scripts/audit-ignores.txt why they do no harm" >&2
    exit 1
fi
cat "$aside/audit.txt"
# A package that the database was not asked about is not known to be harmless; this one is not published yet.
if grep 'could not be audited' "$aside/audit.txt" | grep -qv '^score-rag '; then
    echo "the audit's database did not know some packages: they are not audited; run make release where the public index is reached" >&2
    exit 3
fi
