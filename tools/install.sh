#!/bin/sh
# Install visionclip from this folder, without a network:  sh install.sh ENVIRONMENT
# ENVIRONMENT is a folder: a virtual environment that is there, or one that is made with $PYTHON (python@PYTHON@).
set -eu
unset PYTHONPATH  # a checkout on it would pass for what is installed
here=$(cd "$(dirname "$0")" && pwd)
refuse() { echo "install.sh: $1" >&2; exit 2; }
[ $# -eq 1 ] || refuse "say where to: sh install.sh ENVIRONMENT"
(cd "$here" && sha256sum --check --quiet SHA256SUMS >&2) || refuse "$here is damaged; copy it again"
if [ ! -x "$1/bin/python" ]; then
    python=${PYTHON:-python@PYTHON@}
    command -v "$python" >/dev/null || refuse "no $python here; name it: PYTHON=/path/to/python@PYTHON@ sh install.sh $1"
    "$python" -m venv @OPTIONS@ "$1" || refuse "$python makes no virtual environment; install its venv, or make $1 yourself"
fi
"$1/bin/python" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "@PYTHON@")' ||
    refuse "$1 has another Python than @PYTHON@, for which this folder is; make a bundle for it"
"$1/bin/python" -m pip --version >/dev/null 2>&1 || "$1/bin/python" -m ensurepip >/dev/null ||
    refuse "$1 has no pip; make it with python -m venv"
# Neither settings nor variables of pip: they may name an index.
PIP_CONFIG_FILE=/dev/null "$1/bin/python" -m pip --isolated --disable-pip-version-check install --quiet --no-index --find-links "$here/wheels" "@WANTED@" ||
    refuse "what pip names above is neither here nor in $1; install it there first, or take the bundle that is not slim"
for command in synth clip privacy; do
    "$1/bin/$command" --help >/dev/null || refuse "$1/bin/$command does not start"
done
echo "$1: visionclip is installed; $1/bin/synth --help, and $here/docs/index.html"
