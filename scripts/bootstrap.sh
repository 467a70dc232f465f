#!/bin/sh
# Makes .venv with everything in it, or sees in an instant that it is there. Needs Python 3.11 or later with its venv
# module, and nothing else; PYTHON=/some/python chooses one. Run by scripts/dev, scripts/test and .ci/run.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP

too_old='' no_venv=''
if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
else
    set -- python3 python3.14 python3.13 python3.12 python3.11 python
fi
for python in "$@"; do
    # What is on PATH may be a shim that runs nothing: only a program that answers counts.
    answer=$("$python" -I -c '
import sys
if sys.version_info < (3, 11):
    print("old", sys.version.split()[0])
else:
    try:
        import ensurepip, venv
        print("good")
    except ImportError:
        print("bare")
' 2>/dev/null) || continue
    case $answer in
        good) exec "$python" -I "$root/scripts/bootstrap.py" ;;
        bare) no_venv="${no_venv:-$python}" ;;
        old*) too_old="${too_old:-$python is ${answer#old }}" ;;
    esac
done

if [ -n "$no_venv" ]; then
    echo "$no_venv has no venv module (on Debian and Ubuntu: apt install python3-venv)." >&2
elif [ -n "$too_old" ]; then
    echo "Python 3.11 or later is needed; $too_old." >&2
else
    echo "Python 3.11 or later is needed, and none was found (tried: $*)." >&2
fi
echo "Install it, or name one that is not on PATH: PYTHON=/path/to/python3.12 scripts/dev" >&2
exit 2
